"""The example site, its visitors and the run that shows the main job; the wheel carries it, so it runs anywhere."""

"""The site's settings, with other pages."""

from darktime.demo.site.settings import *  # noqa: F403 - a settings module on top of another, as Django has them

ROOT_URLCONF = "tests.darktime.demo.changed_site.urls"

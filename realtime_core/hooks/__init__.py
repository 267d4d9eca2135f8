"""Producers: what an application saves and deletes becomes jobs. Imports no gevent and patches nothing."""

"""The run launcher for a machine with Docker: each run is a container of its own, with this process's settings.

`deploy/compose.docker-runs.yml` starts Dagster with it.
"""

from __future__ import annotations

import os
from dataclasses import fields

from dagster import DagsterRun
from dagster_docker import DockerRunLauncher
from dagster_docker.container_context import DockerContainerContext

from leadscore.settings import Settings


class RunContainers(DockerRunLauncher):
    """Dagster's launcher, which passes on only the variables that its configuration lists.

    A setting that was missing in that list would silently have its default in runs alone, so all that are set here are
    passed on.
    """

    def get_container_context(self, dagster_run: DagsterRun) -> DockerContainerContext:
        """Return what the run's container is started with."""
        context = super().get_container_context(dagster_run)
        given = [name for setting in fields(Settings) if (name := setting.name.upper()) in os.environ]
        return context._replace(env_vars=[*context.env_vars, *given])

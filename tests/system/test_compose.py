"""The Compose file: pinned, complete, and with commands that exist. A campaign starts it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.system.campaigns.compose import FOLDER, read_services

SETTINGS = {
    "WIRO_API_KEY": "key",
    "POSTGRES_PASSWORD": "one-secret",
    "MINIO_USER": "wiro",
    "MINIO_PASSWORD": "another-secret",
}
OURS = ("bucket", "code", "webserver", "daemon")


def test_every_image_has_a_version_and_no_registry_host() -> None:
    """The same file starts the same versions, from whatever registry Docker is set to use."""
    for name, service in read_services(SETTINGS).items():
        image, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d", tag), name
        assert "." not in image.partition("/")[0], name


@pytest.mark.parametrize("missing", SETTINGS)
def test_a_missing_setting_is_an_error_and_is_in_the_example(missing: str) -> None:
    """Nothing starts with an empty password, and `env.example` names all that is needed."""
    with pytest.raises(KeyError, match=missing):
        read_services({name: text for name, text in SETTINGS.items() if name != missing})
    assert f"{missing}=" in (FOLDER / "env.example").read_text()


def test_commands_and_files_exist() -> None:
    """Our services start programs that the image has, with files that it copies."""
    services = read_services(SETTINGS)
    scripts = Path(sys.executable).parent
    files = {path.name for path in (*FOLDER.iterdir(), *(FOLDER / "project").iterdir())}
    for name in OURS:
        program, *words = services[name]["command"]
        assert shutil.which(program, path=str(scripts)), name
        assert {word for word in words if word.endswith((".py", ".yaml"))} <= files
    copied = re.findall(r"examples/compose/[\w./]+", (FOLDER / "Dockerfile").read_text())
    assert all((FOLDER.parents[1] / path).exists() for path in copied)


def test_only_the_code_location_has_the_secrets_of_wiro() -> None:
    """Daemon and webserver need none of them, and see none."""
    services = read_services(SETTINGS)
    secrets = {"WIRO_API_KEY", "WIRO_API_SECRET"}
    have = {name for name in services if secrets & services[name].get("environment", {}).keys()}
    assert have == {"code"}


def test_every_setting_of_the_code_location_is_one_that_the_project_reads() -> None:
    """A variable that nothing reads would be a mistake that nobody sees."""
    project = (FOLDER.parents[1] / "wiro_dagster/defs/project.py").read_text()
    stated = read_services(SETTINGS)["code"]["environment"]
    assert [
        name for name in stated if name.startswith("WIRO_") and f'"{name}"' not in project
    ] == []
    storage = yaml.safe_load((FOLDER / "dagster.yaml").read_text())["storage"]
    assert storage["postgres"]["postgres_url"]["env"] in stated

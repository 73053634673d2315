"""Where backups are kept: the same of a folder and of a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.backup import folder
from tests.support.s3 import bucket, endpoint

from tocsin.model.errors import NotFoundError, StoreError, UserError
from tocsin.store.backup.place import Bucket, Place, open_place
from tocsin.store.backup.settings import BackupSettings


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return folder(tmp_path / "place")
    return open_place(*bucket())


def test_what_was_put_is_there_under_its_name(place: Place) -> None:
    assert list(place.entries("chunks")) == []
    place.put("chunks/aa/one", b"1")
    place.put("chunks/aa/one", b"one")
    place.put("chunks/bb/empty", b"")
    place.put("backups/x.json", b"{}")
    assert place.get("chunks/aa/one") == b"one"
    assert {(entry.name, entry.size) for entry in place.entries("chunks")} == {
        ("chunks/aa/one", 3),
        ("chunks/bb/empty", 0),
    }
    assert all(entry.changed_at_ms > 1_700_000_000_000 for entry in place.entries("chunks"))


def test_what_is_not_there_is_said_to_be_so(place: Place) -> None:
    with pytest.raises(NotFoundError, match="no chunks/none"):
        place.get("chunks/none")


def test_what_is_deleted_is_gone_and_what_is_not_there_may_be_deleted(place: Place) -> None:
    place.put("chunks/one", b"1")
    place.put("chunks/two", b"2")
    place.delete(["chunks/one", "chunks/none"])
    assert [entry.name for entry in place.entries("chunks")] == ["chunks/two"]
    place.delete([])


def test_a_piece_of_many_megabytes_comes_back_whole(place: Place) -> None:
    data = bytes(range(256)) * 80_000
    place.put("chunks/large", data)
    assert place.get("chunks/large") == data


def test_a_half_written_file_is_nothing_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    (tmp_path / "place" / "chunks").mkdir()
    (tmp_path / "place" / "chunks" / "one.unfinished").write_bytes(b"hal")
    assert list(place.entries("chunks")) == []
    place.put("chunks/one", b"whole")
    assert [path.name for path in (tmp_path / "place" / "chunks").iterdir()] == ["one"]


def test_only_their_owner_can_read_the_files(tmp_path: Path) -> None:
    place = open_place(str(tmp_path / "made"), BackupSettings(), make=True)
    place.put("chunks/one", b"1")
    assert ((tmp_path / "made").stat().st_mode & 0o777, (tmp_path / "made/chunks/one").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be used for backups"):
        open_place(str(tmp_path / "file" / "below"), BackupSettings(), make=True)


def test_what_is_no_place_is_refused() -> None:
    with pytest.raises(UserError, match="no place for backups"):
        open_place("ftp://host/folder", BackupSettings())
    with pytest.raises(UserError, match="names no bucket"):
        open_place("s3://", BackupSettings())
    with pytest.raises(UserError, match="There is no folder"):
        open_place("/nonexistent/folder", BackupSettings())


def test_a_bucket_that_does_not_exist_is_an_error_in_one_line() -> None:
    settings = BackupSettings(s3_endpoint=endpoint(), s3_region="us-east-1", s3_access_key="k", s3_secret_key="s")
    place = open_place("s3://nobody-made-this/x", settings)
    assert isinstance(place, Bucket)
    with pytest.raises(StoreError, match="s3://nobody-made-this/x does not do what is asked") as caught:
        place.put("chunks/one", b"1")
    assert "\n" not in str(caught.value)

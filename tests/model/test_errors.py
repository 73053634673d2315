from __future__ import annotations

import pytest

from tocsin.model import errors


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        (errors.NotFoundError, errors.UserError),
        (errors.ConflictError, errors.UserError),
        (errors.AccessError, errors.UserError),
        (errors.NotSignedInError, errors.AccessError),
        (errors.TooLargeError, errors.LimitError),
        (errors.QueueFullError, errors.TransientError),
        (errors.StoreError, errors.TransientError),
        (errors.DeliveryError, errors.TocsinError),
    ],
)
def test_an_error_is_caught_by_what_to_do_about_it(
    error: type[errors.TocsinError], parent: type[errors.TocsinError]
) -> None:
    assert issubclass(error, parent)
    assert issubclass(parent, errors.TocsinError)


def test_errors_carry_what_their_reader_needs() -> None:
    assert errors.UserError("Fix it.", field="name").field == "name"
    assert errors.UserError("Fix it.").field is None
    assert errors.QueueFullError("Full.", retry_after_s=2.0).retry_after_s == 2.0
    lost = errors.DeliveryError("Refused.", permanent=True, retry_after_s=1.0)
    assert (str(lost), lost.permanent, lost.retry_after_s) == ("Refused.", True, 1.0)

"""ScrapeJobStore: scrape jobs that people have made."""

from __future__ import annotations

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.scrape import StoredJob
from tocsin.store.state.audit import write_audit
from tocsin.store.state.codec import job_of, job_values
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import scrape_job


class ScrapeJobs:
    """Implements ingest.ports.ScrapeJobStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def jobs(self) -> tuple[StoredJob, ...]:
        query = sa.select(scrape_job).order_by(scrape_job.c.id)
        return await self._database.read(lambda connection: tuple(map(job_of, connection.execute(query))))

    async def add_job(self, job: StoredJob, entry: AuditEntry) -> StoredJob:
        def work(connection: sa.Connection) -> StoredJob:
            _check_name(connection, job)
            row = connection.execute(sa.insert(scrape_job).values(job_values(job)).returning(scrape_job)).one()
            write_audit(connection, [entry])
            return job_of(row)

        return await self._database.write(work)

    async def replace_job(self, job: StoredJob, entry: AuditEntry) -> StoredJob:
        update = (
            sa.update(scrape_job)
            .where(scrape_job.c.id == job.id, scrape_job.c.version == job.version)
            .values(job_values(job) | {"version": job.version + 1})
            .returning(scrape_job)
        )

        def work(connection: sa.Connection) -> StoredJob:
            _check_name(connection, job)
            row = connection.execute(update).one_or_none()
            if row is None:
                raise _why_not_replaced(connection, job)
            write_audit(connection, [entry])
            return job_of(row)

        return await self._database.write(work)

    async def delete_job(self, job_id: int, entry: AuditEntry) -> None:
        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.delete(scrape_job).where(scrape_job.c.id == job_id)).rowcount:
                raise _missing(job_id)
            write_audit(connection, [entry])

        await self._database.write(work)


def _check_name(connection: sa.Connection, job: StoredJob) -> None:
    taken = sa.select(scrape_job.c.id).where(scrape_job.c.name == job.name, scrape_job.c.id != job.id)
    if connection.execute(taken).first() is not None:
        raise ConflictError(f"There is a scrape job {job.name} already.", field="job_name")


def _why_not_replaced(connection: sa.Connection, job: StoredJob) -> Exception:
    version = connection.execute(sa.select(scrape_job.c.version).where(scrape_job.c.id == job.id)).scalar()
    if version is None:
        return _missing(job.id)
    return ConflictError(
        f"The scrape job {job.name} is at version {version} by now; read it again and decide.", field="version"
    )


def _missing(job_id: int) -> NotFoundError:
    return NotFoundError(f"There is no scrape job {job_id}.")

"""`sqlalchemy_orm.py FOLDER`: SQLAlchemy's asyncio extension on asyncpg: 12 tasks share a pool of 3 connections to the PostgreSQL
whose socket is in FOLDER."""
# packages: sqlalchemy greenlet asyncpg
import asyncio
import sys

from sqlalchemy import Column, Integer, String, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base

import pulse

counts = pulse.counts
Base = declarative_base()


class Item(Base):
    # One table for each program that runs.
    __tablename__ = "item_%d" % pulse.PID
    id = Column(Integer, primary_key=True)
    name = Column(String)


async def queries(engine):
    while True:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_sleep(0.01)"))
        counts["query"] += 1
        await asyncio.sleep(0.02)


async def sleeps_long(engine):
    while True:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_sleep(0.3)"))
        counts["long_query"] += 1


async def writes(engine):
    while True:
        async with AsyncSession(engine) as session:
            async with session.begin():
                session.add(Item(name="new"))
            counts["write"] += 1
        await asyncio.sleep(0.1)


async def reads(engine):
    while True:
        async with AsyncSession(engine) as session:
            await session.execute(select(Item).limit(5))
        counts["read"] += 1
        await asyncio.sleep(0.1)


async def main():
    address = "postgresql+asyncpg://healthy@/postgres?host=" + sys.argv[1]
    engine = create_async_engine(address, pool_size=3, max_overflow=0, pool_timeout=60)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    for endless in (*(queries(engine) for _ in range(8)), sleeps_long(engine), writes(engine), writes(engine), reads(engine)):
        pulse.start(endless)
    pulse.start(pulse.beat())
    await asyncio.sleep(0.5)
    pulse.ready()
    await asyncio.Event().wait()


pulse.run(main())

"""Runs pytest on itself: pytest-asyncio with one event loop for the session, and many small tests, which begin anew when all have
run. Between two tests the loop does not run."""
# packages: pytest pytest_asyncio
import asyncio
import sys

import pytest
import pytest_asyncio

import pulse

counts = pulse.counts
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service():
    pulse.start(pulse.beat())
    queue = asyncio.Queue(2)

    async def works():
        while True:
            answer = await queue.get()
            await asyncio.sleep(0.001)
            answer.set_result("done")

    pulse.start(works())
    pulse.ready()
    yield queue


@pytest_asyncio.fixture(loop_scope="session")
async def prepared():
    await asyncio.sleep(0.001)
    yield "prepared"
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("number", range(20))
async def test_sleeps(service, number):
    await asyncio.sleep(number / 5000)
    counts["sleeps"] += 1


@pytest.mark.parametrize("number", range(20))
async def test_asks(service, prepared, number):
    answer = asyncio.get_running_loop().create_future()
    await service.put(answer)
    assert await answer == "done"
    counts["asks"] += 1


@pytest.mark.parametrize("number", range(20))
async def test_gathers(service, number):
    await asyncio.gather(*(asyncio.sleep(0.001 * i) for i in range(5)))
    counts["gathers"] += 1


@pytest.mark.parametrize("number", range(20))
def test_without_asyncio(service, number):
    assert number < 20
    counts["plain"] += 1


class Endless:
    @staticmethod
    def pytest_runtestloop(session):
        assert session.items and not session.testsfailed
        while True:
            for item, following in zip(session.items, session.items[1:] + session.items[:1]):
                item._initrequest()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    sys.exit("a test failed")


if __name__ == "__main__":
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:logging", "-s", "-c", "/dev/null"]
    sys.exit(pytest.main([__file__, *options], plugins=[Endless]))

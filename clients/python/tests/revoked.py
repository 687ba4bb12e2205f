"""A run against a server: requests go on while their token is revoked and their session is ended under them.

    SYNQ_URL                     the API, as http://127.0.0.1:8081
    SYNQ_EMAIL, SYNQ_PASSWORD    somebody who may read its products
    REVOCATIONS                  how often to revoke: 3

Once with threads and once with tasks. All requests have to be answered with 200, and each revocation has to cost one
refresh.
"""

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

import claviger_client  # noqa: E402
from claviger_client import Credential  # noqa: E402

PRODUCTS = "/api/v1/products"
WORKERS = 8
# How many requests each of them makes between two events.
BETWEEN = 12


class Run:
    def __init__(self, url, credential, revocations):
        self.url = url
        self.credential = credential
        self.revocations = revocations
        self.statuses = Counter()
        self.answered = [0] * WORKERS
        self.refused = 0
        self.wrong = []
        self._lock = threading.Lock()
        self.asked = Counter()
        self._is_over = False
        self._failed = None

    def count(self, worker, response):
        self.answered[worker] += 1
        with self._lock:
            self.statuses[response.status_code] += 1
            # httpx keeps what was answered before the request was sent again.
            self.refused += sum(earlier.status_code == 401 for earlier in response.history)

    def with_threads(self):
        with claviger_client.client(self.url, self.credential) as client, ThreadPoolExecutor(WORKERS) as threads:
            self._watch(client.auth)

            def work(worker):
                try:
                    while not self._is_over:
                        self.count(worker, client.get(PRODUCTS))
                except Exception as error:
                    self._failed = error

            for worker in range(WORKERS):
                threads.submit(work, worker)
            try:
                self._scene(client.auth)
            finally:
                self._is_over = True
        client.auth.sign_out()

    def with_tasks(self):
        async def scene():
            async with claviger_client.async_client(self.url, self.credential) as client:
                self._watch(client.auth)

                async def work(worker):
                    try:
                        while not self._is_over:
                            self.count(worker, await client.get(PRODUCTS))
                    except Exception as error:
                        self._failed = error

                workers = [asyncio.create_task(work(worker)) for worker in range(WORKERS)]
                try:
                    # What happens to the token happens elsewhere.
                    await asyncio.to_thread(self._scene, client.auth)
                finally:
                    self._is_over = True
                await asyncio.gather(*workers)
                await client.auth.sign_out_async()

        asyncio.run(scene())

    def _watch(self, auth):
        """Counts what is asked at the paths of sign-in."""
        post = auth._session._post

        def counted(what, *arguments):
            try:
                answer = post(what, *arguments)
            except claviger_client.ClavigerError as error:
                self.asked[what, error.status] += 1
                raise
            self.asked[what, 200] += 1
            return answer

        auth._session._post = counted

    def _scene(self, auth):
        self._more()
        for done in range(1, self.revocations + 1):
            self._elsewhere("/auth/v1/revoke", json={"token": auth.access_token()})
            self._more()
            self._expect(f"refreshes after {done} revocations", self.asked["refresh", 200], done)
        self._expect("refreshes that were refused", self.asked["refresh", 401], 0)
        self._expect("sign-ins", self.asked["sign-in", 200], 1)
        self._elsewhere("/auth/v1/sign-out", headers={"Authorization": f"Bearer {auth.access_token()}"})
        self._more()
        self._expect("refreshes that were refused, after the sign-out", self.asked["refresh", 401], 1)
        self._expect("sign-ins, after the sign-out", self.asked["sign-in", 200], 2)
        self._expect("refreshes in all", self.asked["refresh", 200], self.revocations)

    def _elsewhere(self, path, **options):
        """Somebody else, who has the token as well."""
        httpx.post(f"{self.url}{path}", **options).raise_for_status()

    def _more(self):
        """Until each worker has had that many more answers: then whatever was under way before is over."""
        goals = [answered + BETWEEN for answered in self.answered]
        while any(answered < goal for answered, goal in zip(self.answered, goals)):
            if self._failed is not None:
                raise self._failed
            time.sleep(0.005)

    def _expect(self, what, found, wanted):
        if found != wanted:
            self.wrong.append(f"{what}: {found} and not {wanted}")

    def report(self, how):
        if self.refused == 0:
            self.wrong.append("no token was refused, so nothing was tried")
        if set(self.statuses) != {200}:
            self.wrong.append(f"statuses: {dict(self.statuses)}")
        return (
            f"{sum(self.statuses.values())} requests by {WORKERS} {how}, {self.statuses[200]} with 200, "
            f"{self.revocations} revocations, {self.asked['refresh', 200]} refreshes, "
            f"1 sign-out, {self.asked['sign-in', 200] - 1} new sign-in, {self.refused} tokens refused on the way"
        )


def main():
    names = ("SYNQ_URL", "SYNQ_EMAIL", "SYNQ_PASSWORD")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        print(f"error: not set: {', '.join(missing)}", file=sys.stderr)
        return 2
    url, email, password = (os.environ[name] for name in names)
    credential = Credential(email=email, password=password)
    revocations = int(os.environ.get("REVOCATIONS", "3"))
    threads, tasks = (Run(url, credential, revocations) for _ in range(2))
    for run, work in ((threads, threads.with_threads), (tasks, tasks.with_tasks)):
        try:
            work()
        except (claviger_client.ClavigerError, httpx.HTTPError) as error:
            run.wrong.append(str(error))
    reports = f"{threads.report('threads')}; {tasks.report('tasks')}"
    wrong = threads.wrong + tasks.wrong
    print(f"{'NOT OK' if wrong else 'ok'}: {reports}")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

import asyncio
import io
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import claviger_client
from claviger_client import (
    ClavigerAuth,
    ClavigerError,
    Credential,
    Place,
    SignInRefused,
    TooManyTries,
    Unavailable,
)
from claviger_client._session import Session
from server import EMAIL, PASSWORD, FakeServer, Later, break_off, redirect, refuse, send

PRODUCTS = "/api/v1/products"


class Sync:
    """A blocking client."""

    def __init__(self, auth, **options):
        self.auth = auth
        self._client = httpx.Client(auth=auth, base_url=auth._origin, **options)

    def send(self, path=PRODUCTS, method="GET", **options):
        return self._client.request(method, path, **options)

    def many(self, count, path=PRODUCTS):
        with ThreadPoolExecutor(count) as threads:
            return [sent.result() for sent in [threads.submit(_outcome, self.send, path) for _ in range(count)]]

    def begin(self, path=PRODUCTS, method="GET"):
        threads = ThreadPoolExecutor(1)
        return threads.submit(self.send, path, method)

    def do(self, name, **arguments):
        return getattr(self.auth, name)(**arguments)

    def close(self):
        self._client.close()


class Async:
    """An asynchronous client, in an event loop of its own."""

    def __init__(self, auth, **options):
        self.auth = auth
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(auth=auth, base_url=auth._origin, **options)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def send(self, path=PRODUCTS, method="GET", **options):
        return self._run(self._client.request(method, path, **options)).result(10)

    def many(self, count, path=PRODUCTS):
        async def all_at_once():
            work = [self._client.get(path) for _ in range(count)]
            return await asyncio.gather(*work, return_exceptions=True)

        return self._run(all_at_once()).result(20)

    def begin(self, path=PRODUCTS, method="GET"):
        return self._run(self._client.request(method, path))

    def do(self, name, **arguments):
        return self._run(getattr(self.auth, f"{name}_async")(**arguments)).result(10)

    def close(self):
        self._run(self._client.aclose()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _outcome(work, *arguments):
    try:
        return work(*arguments)
    except Exception as error:
        return error


class Clock:
    now = 5.0

    def __call__(self):
        return self.now


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.stop()


@pytest.fixture
def other():
    fake = FakeServer()
    yield fake
    fake.stop()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=[Sync, Async])
def make(request, server, clock):
    """Makes clients: each test runs with blocking ones and with asynchronous ones."""
    made = []

    def make(options=None, client=None, **parts):
        auth = ClavigerAuth(server.url, Credential(**parts), now=clock, **(options or {}))
        made.append(request.param(auth, **(client or {})))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def with_password(make):
    return lambda client=None, **options: make(options, client, email=EMAIL, password=PASSWORD)


@pytest.fixture
def with_refresh_token(make, server):
    return lambda **options: make(options, refresh_token=server.begin())


def bearer(asked):
    return asked.headers["Authorization"]


# A credential


def test_a_password_signs_in_once_and_the_token_is_sent_from_then_on(server, make):
    client = make(email=EMAIL, password=PASSWORD, org_id="south")
    assert [client.send().status_code for _ in range(3)] == [200, 200, 200]
    assert server.asked[0].body == {"email": EMAIL, "password": PASSWORD, "org_id": "south"}
    assert len(server.asked) == 4
    assert bearer(server.requests[2]).startswith("Bearer at_")
    assert client.auth.place == Place("acme", "south", "ADMIN")


def test_a_refresh_token_is_a_credential(server, with_refresh_token):
    assert with_refresh_token().send().status_code == 200
    assert server.asked[0].body == {"refresh_token": "rt_1"}


def test_a_plain_token_is_sent_and_its_401_is_the_callers(server, make):
    server.tokens.add("sk_live_1")
    client = make(token="sk_live_1")
    assert client.send().status_code == 200
    server.revoke_all()
    assert [client.send().status_code for _ in range(2)] == [401, 401]
    assert len(server.asked) == 3


def test_a_credential_comes_from_variables_of_the_callers_prefix(server):
    def use(**environment):
        server.asked.clear()
        with claviger_client.client(server.url, Credential.from_environment("SHOP", environment)) as client:
            client.get(PRODUCTS)
        return server.asked[0].body or bearer(server.asked[0])

    person = {"SHOP_EMAIL": EMAIL, "SHOP_PASSWORD": PASSWORD}
    signed_in = {"email": EMAIL, "password": PASSWORD}
    assert use(**person, SHOP_TOKEN="t") == signed_in
    assert use(**person, SHOP_ORG_ID="south") == {**signed_in, "org_id": "south"}
    refresh_token = server.begin()
    assert use(**person, SHOP_REFRESH_TOKEN=refresh_token) == {"refresh_token": refresh_token}
    assert use(SHOP_TOKEN="t", SHOP_EMAIL="") == "Bearer t"


def test_a_credential_that_is_in_no_variable_is_an_error_that_names_them():
    with pytest.raises(ValueError) as error:
        Credential.from_environment("SHOP", {"EMAIL": EMAIL, "OTHER_TOKEN": "t"})
    assert str(error.value) == (
        "there is no credential: set `SHOP_TOKEN`, `SHOP_REFRESH_TOKEN`, or `SHOP_EMAIL` and `SHOP_PASSWORD`"
    )
    with pytest.raises(ValueError, match="^`SHOP_EMAIL` is set without `SHOP_PASSWORD`$"):
        Credential.from_environment("SHOP", {"SHOP_EMAIL": EMAIL, "SHOP_TOKEN": "t"})


@pytest.mark.parametrize(
    "parts",
    [{}, {"email": EMAIL}, {"password": PASSWORD}, {"token": "t", "refresh_token": "rt"}, {"token": "t\n"}],
)
def test_a_credential_is_one_thing_and_fits_into_a_header(parts):
    with pytest.raises(ValueError):
        Credential(**parts)


def test_the_place_is_sent_in_headers_if_wanted(server, with_password):
    with_password().send()
    with_password(sends_place=True).send()
    without, with_ = (asked.headers for asked in server.requests)
    assert "X-Tenant-ID" not in without and "X-Org-ID" not in without
    assert (with_["X-Tenant-ID"], with_["X-Org-ID"]) == ("acme", "north")


# A token


def test_a_token_is_refreshed_60_s_before_its_end(server, clock, with_password):
    client = with_password()
    client.send()
    clock.now += 3539
    client.send()
    assert server.count("refresh") == 0
    clock.now += 1
    assert client.send().status_code == 200
    assert server.count("refresh") == 1


def test_a_token_of_a_short_life_is_refreshed_after_half_of_it(server, clock, with_password):
    server.lifetime = 60
    client = with_password()
    client.send()
    clock.now += 29
    client.send()
    assert server.count("refresh") == 0
    clock.now += 1
    client.send()
    assert server.count("refresh") == 1


def test_a_token_does_not_hang_on_the_time_of_day(server, monkeypatch):
    with claviger_client.client(server.url, Credential(email=EMAIL, password=PASSWORD)) as client:
        client.get(PRODUCTS)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 86_400)
        client.get(PRODUCTS)
    assert server.count("refresh") == 0


def test_a_token_that_is_refused_is_replaced_and_the_request_sent_once_more(server, with_password):
    client = with_password()
    client.send()
    server.revoke_all()
    response = client.send(method="POST", content=b"a body")
    assert response.status_code == 200
    assert server.count("refresh") == 1
    _, first, second = server.requests
    assert (first.body, second.body) == ("a body", "a body")
    assert bearer(first) != bearer(second)


def test_a_token_that_is_refused_a_second_time_leaves_the_401_to_the_caller(server, with_password):
    client = with_password()
    server.next(PRODUCTS, refuse(401), refuse(401), refuse(401))
    response = client.send()
    assert (response.status_code, response.json()) == (401, {"error": "this is refused"})
    assert len(server.requests) == 2
    assert server.count("refresh") == 1


def test_a_password_helps_where_the_refresh_token_is_refused_and_for_the_same_place(server, with_password):
    client = with_password()
    client.do("switch_to", org_id="south")
    server.sessions.clear()
    server.revoke_all()
    assert client.send().status_code == 200
    assert (server.count("refresh"), server.count("sign-in")) == (1, 2)
    body = [asked.body for asked in server.asked if asked.path == "/auth/v1/sign-in"][1]
    assert body == {"email": EMAIL, "password": PASSWORD, "tenant_id": "acme", "org_id": "south"}


def test_a_session_that_ended_without_a_password_is_over_and_not_asked_for_again(server, with_refresh_token):
    client = with_refresh_token()
    server.sessions.clear()
    for _ in range(2):
        with pytest.raises(SignInRefused, match="^refresh: 401: this is refused$") as error:
            client.send()
        assert error.value.status == 401
    assert len(server.asked) == 1


def test_a_wrong_password_is_tried_once(server, make):
    client = make(email=EMAIL, password="wrong")
    for _ in range(3):
        with pytest.raises(SignInRefused):
            client.send()
    assert len(server.asked) == 1


def test_a_password_does_not_help_somebody_who_is_suspended(server, with_password):
    client = with_password()
    client.send()
    server.members = []
    server.revoke_all()
    with pytest.raises(SignInRefused) as error:
        client.send()
    assert error.value.status == 403
    assert server.count("sign-in") == 1
    server.members = ["north"]
    assert client.send().status_code == 200


def test_an_answer_without_a_refresh_token_keeps_the_one_that_is_known(server, with_refresh_token):
    client = with_refresh_token()
    answer = {"access_token": "at_x", "expires_in": 3600, "tenant_id": "acme", "org_id": "north"}
    server.next("/auth/v1/refresh", lambda asked, handler: send(handler, 200, answer))
    assert client.send().status_code == 200
    assert server.count("refresh") == 2


# Many requests at once


def statuses(outcomes):
    return [outcome.status_code for outcome in outcomes]


def test_many_requests_make_one_sign_in(server, with_password):
    assert statuses(with_password().many(50)) == [200] * 50
    assert server.count("sign-in") == 1


def test_many_requests_at_a_stale_token_make_one_refresh(server, clock, with_password):
    client = with_password()
    client.send()
    clock.now += 3600
    assert statuses(client.many(50)) == [200] * 50
    assert server.count("refresh") == 1


def test_many_requests_at_a_revoked_token_make_one_refresh(server, with_password):
    client = with_password()
    client.send()
    server.revoke_all()
    assert statuses(client.many(50)) == [200] * 50
    assert server.count("refresh") == 1


def test_threads_and_tasks_share_one_refresh(server, clock):
    auth = ClavigerAuth(server.url, Credential(email=EMAIL, password=PASSWORD), now=clock)
    clients = [Sync(auth), Async(auth), Async(auth)]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda client: statuses(client.many(20)), clients))
    for client in clients:
        client.close()
    assert found == [[200] * 20] * 3
    assert server.count("sign-in") == 1


def test_a_401_of_a_token_that_was_replaced_meanwhile_does_not_refresh(server, with_password):
    client = with_password()
    later = Later(refuse(401))
    server.next("/slow", later)
    slow = client.begin("/slow")
    assert later.arrived.wait(10)
    server.revoke_all()
    assert client.send().status_code == 200
    later.released.set()
    assert slow.result(10).status_code == 200
    assert server.count("refresh") == 1


def test_those_who_wait_for_a_renewal_share_its_failure(server):
    client = Sync(ClavigerAuth(server.url, Credential(email=EMAIL, password=PASSWORD)))
    later = Later(refuse(500))
    server.next("/auth/v1/sign-in", later)

    def waiting():
        frames = sys._current_frames().values()
        return sum(frame.f_code is Session.fresh.__code__ for frame in frames)

    with ThreadPoolExecutor(20) as threads:
        found = [threads.submit(_outcome, client.send) for _ in range(20)]
        assert later.arrived.wait(10)
        # All others have to be waiting before the first one fails.
        while waiting() < 19:
            time.sleep(0.001)
        later.released.set()
        errors = [outcome.result(10) for outcome in found]
    client.close()
    assert [type(error) for error in errors] == [Unavailable] * 20
    assert server.count("sign-in") == 1


def test_a_request_that_is_given_up_does_not_lose_the_refresh(server):
    later = Later(server.answer)
    server.next("/auth/v1/refresh", later)

    async def scene():
        auth = ClavigerAuth(server.url, Credential(refresh_token=server.begin()))
        async with httpx.AsyncClient(auth=auth, base_url=server.url) as client:
            first = asyncio.create_task(client.get(PRODUCTS))
            await asyncio.to_thread(later.arrived.wait, 10)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            second = asyncio.create_task(client.get(PRODUCTS))
            await asyncio.sleep(0)
            later.released.set()
            return await second

    assert asyncio.run(scene()).status_code == 200
    assert server.count("refresh") == 1


# The answer of a refresh


def test_a_lost_answer_is_asked_for_once_more_with_the_same_token(server, clock, with_refresh_token):
    client = with_refresh_token()

    def use_up(asked, handler):
        server._answer(asked)
        break_off(asked, handler)

    server.next("/auth/v1/refresh", use_up)
    assert client.send().status_code == 200
    assert [asked.body["refresh_token"] for asked in server.asked[:2]] == ["rt_1", "rt_1"]
    clock.now += 3600
    assert client.send().status_code == 200


def test_an_answer_lost_twice_is_an_error_and_no_third_try(server, with_refresh_token):
    client = with_refresh_token()
    server.next("/auth/v1/refresh", break_off, break_off)
    with pytest.raises(Unavailable) as error:
        client.send()
    assert error.value.status is None
    assert server.count("refresh") == 2
    assert client.send().status_code == 200


def test_an_answer_is_waited_for_twice_within_the_20_s_in_which_that_works(server, monkeypatch, with_refresh_token):
    waits = []

    def slow(client, request, **options):
        waits.append(request.extensions["timeout"])
        raise httpx.ReadTimeout("slow", request=request)

    client = with_refresh_token()
    monkeypatch.setattr(httpx.Client, "send", slow)
    with pytest.raises(Unavailable):
        client.do("sign_in")
    assert len(waits) == 2
    assert all(0 < seconds < 10 for wait in waits for seconds in wait.values())


@pytest.mark.parametrize(
    "text", ["<html>", "[]", "{}", '{"access_token":"a"}', '{"access_token":"a\\nb","expires_in":9}']
)
def test_an_answer_that_is_none_says_nothing_about_the_credential(server, with_refresh_token, text):
    client = with_refresh_token()
    server.next("/auth/v1/refresh", lambda asked, handler: send(handler, 200, text))
    with pytest.raises(Unavailable):
        client.send()
    assert client.send().status_code == 200


# A new refresh token


def test_a_refresh_token_is_stored_before_the_access_token_is_used(server, clock, with_refresh_token):
    stored = []
    client = with_refresh_token(on_refresh_token=lambda token: stored.append((token, len(server.requests))))
    client.send()
    clock.now += 3600
    client.send()
    assert stored == [("rt_2", 0), ("rt_4", 1)]


def test_a_refresh_token_that_cannot_be_stored_is_stored_before_the_next_request(server, with_refresh_token):
    stored = []
    full = [True]

    def store(token):
        if full:
            full.pop()
            raise OSError("the disk is full")
        stored.append(token)

    client = with_refresh_token(on_refresh_token=store)
    with pytest.raises(OSError, match="the disk is full"):
        client.send()
    assert server.requests == []
    assert client.send().status_code == 200
    assert stored == ["rt_2"]
    assert server.count("refresh") == 1


# A server that has no time


@pytest.mark.parametrize("status, kind", [(429, TooManyTries), (503, Unavailable)])
def test_retry_after_is_said_and_kept(server, clock, with_password, status, kind):
    client = with_password()
    server.next("/auth/v1/sign-in", refuse(status, Retry_After="30"))
    with pytest.raises(kind) as first:
        client.send()
    clock.now += 20
    with pytest.raises(kind) as second:
        client.send()
    assert (first.value.status, second.value.status) == (status, status)
    assert (first.value.retry_after, second.value.retry_after) == (30, 10)
    assert len(server.asked) == 1
    clock.now += 10
    assert client.send().status_code == 200


def test_a_server_is_not_needed_while_the_token_is_good_and_not_asked_with_every_request(server, clock, with_password):
    client = with_password()
    client.send()
    clock.now += 3545
    server.next("/auth/v1/refresh", break_off, break_off, refuse(503), refuse(503, Retry_After="100"))
    assert [client.send().status_code for _ in range(3)] == [200, 200, 200]
    assert server.count("refresh") == 2
    clock.now += 5
    assert client.send().status_code == 200
    assert server.count("refresh") == 3
    clock.now += 50
    with pytest.raises(Unavailable) as error:
        client.send()
    assert error.value.retry_after == 100


# The credential goes nowhere else


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_does_not_carry_it(server, other, with_password, status):
    server.next(PRODUCTS, redirect(status, f"{other.url}/elsewhere"))
    client = with_password({"follow_redirects": True})
    # Its 401 is nothing about our token.
    other.next("/elsewhere", refuse(401))
    assert client.send().status_code == 401
    assert [asked.headers.get("Authorization") for asked in other.asked] == [None]
    assert server.count("refresh") == 0


def test_a_redirect_is_the_callers_as_httpx_has_it(server, other, with_password):
    server.next(PRODUCTS, redirect(302, f"{other.url}/elsewhere"))
    assert with_password().send().status_code == 302
    assert other.asked == []


def test_a_redirect_within_the_origin_carries_it(server, with_password):
    server.next(PRODUCTS, redirect(307, "/moved"))
    assert with_password({"follow_redirects": True}).send().status_code == 200
    assert [asked.path for asked in server.requests] == [PRODUCTS, "/moved"]


@pytest.mark.parametrize("follow_redirects", [True, False])
def test_a_redirect_of_the_sign_in_is_not_followed(server, other, with_password, follow_redirects):
    server.next("/auth/v1/sign-in", redirect(307, f"{other.url}/auth/v1/sign-in"))
    with pytest.raises(ClavigerError) as error:
        with_password({"follow_redirects": follow_redirects}).send()
    assert error.value.status == 307
    assert other.asked == []


def test_a_request_to_another_origin_is_an_error(server, other, with_password):
    client = with_password()
    for url in (f"{other.url}/x", "https://127.0.0.1/x"):
        with pytest.raises(ValueError, match="for which the credential is"):
            client.send(url)
    assert server.asked == other.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example",
        "https://api.example:8443/",
        "http://localhost:1",
        "http://api.localhost",
        "http://127.1.2.3",
        "http://[::1]:8080",
    ],
)
def test_a_base_url_is_encrypted_or_this_machine(url):
    ClavigerAuth(url, Credential(token="t"))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://10.0.0.1",
        "http://[::2]",
        "ftp://localhost",
        "api.example",
        "https://u:geheim@api.example",
        "https://api.example/v1",
        "https://api.example?x",
        "https://api.example:x",
    ],
)
def test_another_base_url_is_refused(url):
    with pytest.raises(ValueError) as error:
        ClavigerAuth(url, Credential(token="t"))
    assert "geheim" not in str(error.value)


# A body


def stream(client):
    def once():
        yield b"once"

    async def once_async():
        yield b"once"

    return {"content": once_async() if isinstance(client, Async) else once()}


def form_with_a_file(client):
    return {"files": {"a": io.BytesIO(b"b")}}


@pytest.mark.parametrize("body", [stream, form_with_a_file])
def test_a_stream_is_not_sent_again_and_the_next_request_has_a_new_token(server, with_password, body):
    client = with_password()
    client.send()
    server.revoke_all()
    assert client.send(method="POST", **body(client)).status_code == 401
    assert len(server.requests) == 2
    assert client.send().status_code == 200
    assert len(server.requests) == 3


@pytest.mark.parametrize("body", [{"content": b"b"}, {"content": "b"}, {"json": {"a": "b"}}, {"data": {"a": "b"}}])
def test_a_body_that_can_be_read_twice_is_sent_twice(server, with_password, body):
    client = with_password()
    server.next(PRODUCTS, refuse(401))
    assert client.send(method="POST", **body).status_code == 200
    first, second = server.requests
    assert first.body == second.body and first.body


# Secrets


def texts(value):
    yield from (repr(value), str(value), f"{value!a}")
    if isinstance(value, BaseException):
        yield "".join(traceback.format_exception(type(value), value, value.__traceback__))
        yield repr([repr(part) for part in value.args]) + repr(vars(value))
        for inner in (value.__cause__, value.__context__):
            assert not hasattr(inner, "request"), "an error has the request, and with it what was sent"


def assert_secret_free(*values):
    for value in values:
        for text in texts(value):
            for secret in (PASSWORD, "rt_", "at_", "sk_live"):
                assert secret not in text


def test_no_secret_is_in_the_text_of_a_client(server, make, with_password):
    credential = Credential(refresh_token="rt_x", email=EMAIL, password=PASSWORD)
    client = with_password()
    client.do("switch_to", org_id="south")
    session = client.auth._session
    assert_secret_free(credential, client.auth, session, session.fresh(), make(token="sk_live_1").auth)
    assert repr(client.auth) == f"ClavigerAuth({server.url!r})"
    assert repr(credential) == "Credential(..)"


def test_no_secret_is_in_the_text_of_an_error(server, with_password, with_refresh_token):
    def echo(asked, handler):
        send(handler, 400, {"error": str(asked.body)})

    client, session = with_password(), with_refresh_token()
    server.next("/auth/v1/sign-in", echo, break_off, refuse(503, Retry_After="1"))
    server.next("/auth/v1/refresh", echo, break_off, break_off)
    errors = [_outcome(client.send) for _ in range(4)] + [_outcome(session.send) for _ in range(2)]
    assert [type(error) for error in errors[:3]] == [ClavigerError, Unavailable, Unavailable]
    assert "(..)" in str(errors[0]) and "(..)" in str(errors[4])
    assert_secret_free(*errors)


# Errors


@pytest.mark.parametrize(
    "body, said",
    [
        ({"error": "text"}, ": text"),
        ({"error": {"code": "c", "message": "text"}}, ": text"),
        ({"success": False, "error": {"code": "text"}}, ": text"),
        ({"title": "te\n xt"}, ": te xt"),
        (None, ""),
        ({"error": {}}, ""),
    ],
)
def test_an_error_has_the_apis_own_text(server, with_password, body, said):
    server.next("/auth/v1/sign-in", lambda asked, handler: send(handler, 409, body))
    with pytest.raises(ClavigerError) as error:
        with_password().send()
    assert str(error.value) == f"sign-in: 409{said}"


def test_an_error_says_that_nobody_answers(with_password, server):
    client = with_password()
    server.stop()
    with pytest.raises(Unavailable, match=f"^sign-in: no answer from {server.url}: ConnectError: "):
        client.send()


# Switching, signing out, revoking


def test_whoever_switches_is_elsewhere_from_then_on(server, with_password):
    stored = []
    client = with_password(sends_place=True, on_refresh_token=stored.append)
    client.send()
    assert client.do("switch_to", org_id="south") == Place("acme", "south", "ADMIN")
    client.send()
    assert [asked.headers["X-Org-ID"] for asked in server.requests] == ["north", "south"]
    assert len(stored) == 2


def test_whoever_is_refused_elsewhere_stays(server, make, with_password):
    client = with_password()
    client.send()
    with pytest.raises(SignInRefused) as error:
        client.do("switch_to", org_id="west")
    assert error.value.status == 403
    assert client.auth.place.org_id == "north"
    assert client.send().status_code == 200
    with pytest.raises(ValueError):
        client.do("switch_to")
    with pytest.raises(ValueError):
        make(token="t").do("switch_to", org_id="south")


def test_a_request_for_one_place_is_never_sent_to_another(server, with_password):
    client = with_password()
    later = Later(refuse(401))
    server.next("/slow", later)
    slow = client.begin("/slow", "DELETE")
    assert later.arrived.wait(10)
    client.do("switch_to", org_id="south")
    later.released.set()
    assert slow.result(10).status_code == 401
    assert len(server.requests) == 1


def test_a_switch_does_not_use_the_refresh_token_while_a_refresh_does(server, with_refresh_token):
    client = with_refresh_token()
    later = Later(server.answer)
    server.next("/auth/v1/refresh", later)
    request = client.begin()
    assert later.arrived.wait(10)
    with ThreadPoolExecutor(1) as threads:
        switching = threads.submit(client.do, "switch_to", org_id="south")
        later.released.set()
        request.result(10), switching.result(10)
    used = [asked.body["refresh_token"] for asked in server.asked if asked.path == "/auth/v1/refresh"]
    assert used == ["rt_1", "rt_2"]


def test_whoever_signs_out_ends_every_session_that_they_had(server, with_password):
    client = with_password()
    client.do("switch_to", org_id="south")
    client.do("switch_to", org_id="north")
    assert len(server.sessions) == 2
    client.do("sign_out")
    client.do("sign_out")
    assert server.sessions == []
    asked = len(server.asked)
    with pytest.raises(SignInRefused, match="^this client has signed out$"):
        client.send()
    assert len(server.asked) == asked


def test_whoever_signs_out_with_a_token_alone_ends_its_session(server, make):
    server.tokens.add("t")
    make(token="t").do("sign_out")
    assert server.tokens == set()


def test_whoever_revokes_the_token_at_hand_gets_another_one_without_a_401(server, with_password):
    client = with_password()
    token = client.do("access_token")
    client.do("revoke")
    assert token not in server.tokens
    assert client.send().status_code == 200
    assert len(server.requests) == 1
    assert client.do("access_token") != token


def test_whoever_revokes_another_token_keeps_their_own(server, with_password):
    client = with_password()
    token = client.do("access_token")
    client.do("revoke", token="at_other")
    assert server.asked[-1].body == {"token": "at_other"}
    assert client.do("access_token") == token


# The clients of httpx's


def test_the_constructors_take_httpxs_options(server):
    credential = Credential(email=EMAIL, password=PASSWORD)
    with claviger_client.client(server.url, credential, headers={"X-Other": "1"}, trust_env=False) as client:
        assert client.get(PRODUCTS).status_code == 200
        assert isinstance(client.auth, ClavigerAuth)

    async def scene():
        async with claviger_client.async_client(server.url, credential, sends_place=True) as client:
            return await client.get(PRODUCTS)

    assert asyncio.run(scene()).status_code == 200
    first, second = (asked.headers for asked in server.requests)
    assert (first["X-Other"], second["X-Org-ID"]) == ("1", "north")

"""How somebody becomes known: by the link that was printed, or by a token."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from order_console.api_server import ApiError
from order_console.console import Console, page
from order_console.identity import ByToken, NotLoggedIn, OfKubeconfig, who_am_i
from order_console.sessions import Session, Sessions, TooLarge

SEE_OTHER = 303


async def start(request: Request) -> Response:
    """The link of a console on this machine. The token leaves the address with the redirection."""
    console: Console = request.app.state.console
    sessions: Sessions = request.app.state.sessions
    if not isinstance(console.identity, OfKubeconfig):
        return page("error.html", None, status=404, message="this console takes no link")
    if sessions.of(request) is not None:  # the link again, in the browser that has used it
        return page("started.html", None)
    try:
        session = console.identity.redeem(request.query_params.get("token", ""))
    except NotLoggedIn as refused:
        return page("login.html", None, status=401, why=refused.why, logs_in=False)
    # A cookie of SameSite=Strict is not sent along a redirection that another page began.
    answer = page("started.html", None)
    sessions.give(answer, session)
    return answer


async def login(request: Request) -> Response:
    """A token that somebody gives, tried at once."""
    console: Console = request.app.state.console
    sessions: Sessions = request.app.state.sessions
    if not isinstance(console.identity, ByToken):
        return page("error.html", None, status=404, message="this console takes no token")
    if request.method == "GET":
        return page("login.html", None, why="", logs_in=True)
    token = str((await request.form()).get("token", "")).strip()
    try:
        await who_am_i(console.identity.api(token))
    except ApiError as error:
        why = "the API server does not accept this token" if error.status == 401 else error.message
        return page("login.html", None, status=error.status or 503, why=why, logs_in=True)
    answer = RedirectResponse("/", SEE_OTHER)
    try:
        sessions.give(answer, Session.new(token))
    except TooLarge:
        why = "this token is too long for a browser's cookie: have a proxy send it along, see docs/console.md"
        return page("login.html", None, status=413, why=why, logs_in=True)
    return answer


async def logout(request: Request) -> Response:
    """Forget the cookie."""
    answer = page("login.html", None, why="you are logged out", logs_in=request.app.state.console.logs_in)
    request.app.state.sessions.take(answer)
    return answer

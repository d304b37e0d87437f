// Says that this page is no longer told what changes, and takes it back when it is.
(() => {
  const line = document.getElementById("live");
  const say = (text) => {
    line.textContent = text;
    line.hidden = !text;
  };
  const why = (status) =>
    status === 401
      ? "You are not logged in any more: load this page again."
      : "The console does not answer. What is shown may be old; it catches up by itself.";
  document.addEventListener("htmx:sse:after:connection", () => say(""));
  document.addEventListener("htmx:sse:error", (event) => say(why(event.detail.status)));
  document.addEventListener("not-followed", (event) => say(`What is shown may be old: ${event.detail.data}.`));
  // The first connection is not tried again.
  for (const failed of ["htmx:response:error", "htmx:error"]) {
    document.addEventListener(failed, (event) => {
      if (event.target.closest?.("[hx-sse\\:connect]")) say("What is shown may be old: load this page again.");
    });
  }
})();

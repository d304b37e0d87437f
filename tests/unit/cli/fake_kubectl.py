"""A `kubectl` for tests: it answers from a file, and writes down how it was called and what it was given to read."""

import json
import os
import re
import sys
import time
from pathlib import Path

home = Path(os.environ["FAKE_KUBECTL"])
called = " ".join(sys.argv[1:])
watching = "--watch" in sys.argv
text = "" if watching else sys.stdin.read()
with (home / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({"call": called, "text": text}) + "\n")


def reviewed(rights: list[str], me: str) -> str:
    """Answers to reviews: who asks, and that those of `rights`, namespace and verb, are allowed."""
    answers = []
    for line in text.splitlines():
        review = json.loads(line)
        if review["kind"] == "SelfSubjectReview":
            answers.append(json.dumps({**review, "status": {"userInfo": {"username": me}}}))
            continue
        asked = review["spec"]["resourceAttributes"]
        allowed = f"{asked['namespace']} {asked['verb']}" in rights
        answers.append(json.dumps({**review, "status": {"allowed": allowed}}))
    return "\n".join(answers)


for answer in json.loads((home / "answers.json").read_text()):
    if re.search(answer["call"], called):
        if "rights" in answer:
            print(reviewed(answer["rights"], answer["me"]))
        print(answer.get("out", ""), flush=True, end="\n" if answer.get("out") else "")
        if watching and not answer.get("error"):
            time.sleep(60)  # until it is ended
        if answer.get("error"):
            print(answer["error"], file=sys.stderr)
            sys.exit(1)
        sys.exit(0)
sys.exit(f"the test has no answer for: kubectl {called}")

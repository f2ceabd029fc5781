"""Asks the public door again and again, from several threads, until it is told to stop, and says how it went.

Every request has a connection of its own, so that each one would find a closed port; half of them write (a sign-in), half
read. Nothing is tried again: an error of any kind, or a status that is not expected, is counted and named.

Usage: load.py SECONDS|FILE EMAIL PASSWORD   (FILE: until it is there)
"""

import collections
import http.client
import json
import os
import sys
import threading
import time

until, email, password = sys.argv[1:4]
HOST = {"Host": "auth.example.com"}
deadline = time.monotonic() + float(until) if until.replace(".", "").isdigit() else None
answers = collections.Counter()
errors = collections.Counter()
waits = []
lock = threading.Lock()


def ends():
    return time.monotonic() >= deadline if deadline else os.path.exists(until)


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
    try:
        headers = dict(HOST, **({"Content-Type": "application/json"} if body else {}))
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def work(number):
    while not ends():
        began = time.monotonic()
        try:
            if number == 0:
                status = ask("POST", "/api/login", {"email": email, "password": password})
            elif number == 1:
                status = ask("GET", "/readyz")
            else:
                status = ask("GET", "/.well-known/jwks.json")
            with lock:
                answers[status] += 1
        except Exception as error:  # every kind of it is a lost request
            with lock:
                errors[repr(error)] += 1
        with lock:
            waits.append(time.monotonic() - began)


threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# Too many sign-ins of one client are refused; that is an answer.
good = answers[200] + answers[429]
refused = sum(count for error, count in errors.items() if "ConnectionRefused" in error)
lost = sum(errors.values()) - refused + sum(answers.values()) - good
waits.sort()
print(f"{good} answered, {lost} lost, {refused} refused; longest wait {waits[-1] * 1000:.0f} ms, median {waits[len(waits) // 2] * 1000:.0f} ms")
if lost or refused:
    print(dict(answers), dict(errors))
sys.exit(1 if lost or refused or not good else 0)

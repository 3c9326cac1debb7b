"""A worker in Python, with nothing but its standard library: python3 worker.py QUEUE

It runs handlers by the job's name, several at once, keeps their leases, and ends them
in batches. PENSTOCK_URL is the server, PENSTOCK_TOKEN a token with role worker.
"""
import json, os, queue, signal, socket, sys, threading, time, urllib.error, urllib.request, uuid

API = os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8080") + "/api/v1/workers"
TOKEN = os.environ.get("PENSTOCK_TOKEN")
HANDLERS = {}
CONCURRENCY = 4


def handler(name):
    return lambda function: HANDLERS.setdefault(name, function)


@handler("echo")
def echo(data, job):
    time.sleep(data.get("seconds", 0))
    return data  # kept as the result; an exception fails the job, which is retried by policy


class Gone(Exception):
    """The worker was buried: it was silent for too long. Its jobs are others' now."""


class Refused(Exception):
    """The server does not take the call as it is; repeating it would not help."""


def call(method, path, body=None):
    """Repeats a call until it is answered, which is harmless for every call here."""
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    while True:
        request = urllib.request.Request(API + path, body and json.dumps(body).encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 410:
                raise Gone()
            if error.code < 500 and error.code != 429:
                raise Refused(f"{method} {path}: {error.code} {error.read().decode()}")
        except OSError:
            pass
        time.sleep(1)


class Worker:
    def __init__(self, queue_name):
        self.me = call("POST", "", {"queues": [queue_name], "host": socket.gethostname(), "pid": os.getpid(),
                                    "concurrency": CONCURRENCY, "handlers": [f"{queue_name} {n}" for n in HANDLERS]})["id"]
        self.held, self.ends, self.room = {}, queue.Queue(), threading.Semaphore(CONCURRENCY)
        self.stopping = threading.Event()
        for loop in (self.beat, self.finish):
            threading.Thread(target=self.guarded, args=(loop,), daemon=True).start()

    def guarded(self, loop):
        try:
            loop()
        except Gone:
            os.execv(sys.executable, [sys.executable, *sys.argv])  # drop everything, register again
        except BaseException as error:  # a worker with a loop missing must not live on
            print(f"stopped: {error}", file=sys.stderr, flush=True)
            os._exit(1)  # a supervisor starts it again

    def beat(self):
        while True:
            time.sleep(5)
            held = [{"id": j["id"], "attempt": j["attempt"]} for j in list(self.held.values())]
            reply = call("POST", f"/{self.me}/heartbeat", {"held": held})
            for job_id in reply["cancel"]:  # a handler may look at job["cancelled"]
                self.held.get(job_id, {})["cancelled"] = True

    def run(self, job):
        end = {"queueName": job["queueName"], "id": job["id"], "attempt": job["attempt"], "outcome": "completed"}
        try:
            if job["name"] in HANDLERS:
                end["result"] = HANDLERS[job["name"]](job["data"], job)
                json.dumps(end["result"], allow_nan=False)  # or the handler is at fault
            else:  # perhaps another version of this program knows it: give it back at no cost
                end.update(outcome="released", delay=60_000)
        except BaseException as error:
            end.pop("result", None)
            end.update(outcome="failed", errorClass=type(error).__name__, error=str(error))
        self.ends.put(end)
        self.room.release()

    def finish(self):
        while True:
            batch = [self.ends.get()]
            while len(batch) < 100 and not self.ends.empty():
                batch.append(self.ends.get())
            for end in self.ended(batch):
                self.held.pop(end["id"], None)
                print(f"job {end['id']}: {end['status']} {end.get('state', '')}", flush=True)
                self.ends.task_done()

    def ended(self, batch):
        """Ends attempts. What the server refuses is ended alone, as a failure in plain words."""
        try:
            answers = call("POST", f"/{self.me}/finish", {"attempts": batch})["attempts"]
        except Refused as error:
            if len(batch) > 1:
                return [answer for end in batch for answer in self.ended([end])]
            answers = [dict(batch[0], status="refused", message=str(error))]
        for i, answer in enumerate(answers):
            if answer["status"] == "refused" and batch[i].get("errorClass") != "Refused":
                plain = {key: batch[i][key] for key in ("queueName", "id", "attempt")}
                plain.update(outcome="failed", errorClass="Refused", error=ascii(answer.get("message", ""))[:1000])
                answers[i] = self.ended([plain])[0]
        return answers

    def work(self):
        while not self.stopping.is_set():
            self.room.acquire()
            jobs = call("POST", f"/{self.me}/claim", {"claimId": uuid.uuid4().hex, "limit": 1, "wait": 10000})["jobs"]
            if not jobs:
                self.room.release()
            for job in jobs:
                self.held[job["id"]] = job
                print(f"job {job['id']}: attempt {job['attempt']}", flush=True)
                threading.Thread(target=self.run, args=(job,)).start()
        for _ in range(CONCURRENCY):
            self.room.acquire()
        self.ends.join()
        call("DELETE", f"/{self.me}")


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: worker.stopping.set())
    worker.guarded(worker.work)

// Package penstocktest tests applications that use Penstock: what they enqueue, what
// their handlers do, and what becomes of the jobs, against real PostgreSQL and
// without a sleep. It never skips a test: where there is no PostgreSQL, the test
// fails and says what to install.
//
// # First use
//
// A handler alone, with neither worker nor database (Run):
//
//	end := penstocktest.Run(t.Context(), SendWelcome, penstock.Job[Welcome]{Data: Welcome{UserID: 7}})
//	if end.Outcome != "completed" {
//		t.Fatal(end)
//	}
//
// What the application enqueued, in the transaction under test or after it
// (RequireEnqueued), and then the same jobs through the application's own worker,
// with its middleware and its retry policy (RunOne, Drain, FastForward):
//
//	db := penstocktest.NewDB(t) // a database of the test's own
//	SignUp(ctx, tx, db.Client, "ann@example.org")
//	penstocktest.RequireEnqueued(t, tx, penstocktest.Want{Queue: "mail", Name: "welcome"})
//	…
//	ends := penstocktest.Drain(t, NewWorker(db.Client))
//
// # Which one
//
//	Run          one handler, values in, outcome out: no database
//	RunOne       the next due job of a worker's queues, and what the database made of it
//	Drain        everything that is due, and what that enqueues
//	FastForward  that and whatever waits for its time: retries, snoozes, delays
//
// All of them run handlers on the test's goroutine, one at a time, in the order of
// claims, so that a handler may call t.FailNow and a debugger stays on its line.
//
// # Where databases come from
//
// DATABASE_URL, whose role needs CREATEDB and of which only new databases are used;
// else a private server, started from installed binaries by the first test that needs
// it. It is gone when the test binary is, however that ends. Main, in a TestMain, is
// for applications with tables of their own, and is otherwise not needed.
package penstocktest

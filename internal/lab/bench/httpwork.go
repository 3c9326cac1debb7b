package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var httpWorkScenario = Scenario{
	Name:  "http-work",
	Short: "Claim and finish over HTTP, and what waiting claims cost",
	Long: `Starts "penstock serve" as a separate process and works off no-op jobs over HTTP: four
workers, each of which claims up to 100 jobs, finishes them and claims again. Then 500
workers keep a claim open for --duration while no job comes, and the server's processor
time and the number of listening connections are read.`,
	Usual: Load{Jobs: 100_000, PayloadBytes: 100, Duration: 10 * time.Second},
	run:   (*bench).httpWork,
}

const (
	httpWorkers = 4
	httpClaim   = 100
	httpWaiting = 500
)

func (b *bench) httpWork(ctx context.Context) (err error) {
	const queue = "http-work"
	jobs := b.load.Jobs
	if _, err := b.enqueueBulk(ctx, queue, jobs, 1, nil); err != nil {
		return err
	}
	server, err := b.serveHTTP(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := server.stop(); err == nil {
			err = stopped
		}
	}()
	worked, err := b.workOverHTTP(ctx, server, queue, jobs)
	if err != nil {
		return err
	}
	row := Row{Name: fmt.Sprintf("claim and finish, %d workers, %d a call", httpWorkers, httpClaim), Speed: worked}
	b.report.Rows = append(b.report.Rows, row)
	b.report.setHeadline(row)
	if err := b.waitOverHTTP(ctx, server); err != nil {
		return err
	}
	return b.check(ctx, queue, int64(jobs), int64(jobs))
}

// workOverHTTP works off the queue and returns the speed.
func (b *bench) workOverHTTP(ctx context.Context, s *httpServer, queue string, jobs int) (*Speed, error) {
	var done atomic.Int64
	defer b.stage("claim and finish over HTTP", int64(jobs), done.Load)()
	start := time.Now()
	err := together(ctx, httpWorkers, func(ctx context.Context) error {
		worker, claim := "", 0
		return s.onConnection(ctx, func(conn *httpConn) (bool, error) {
			if worker == "" {
				var err error
				worker, err = s.register(conn, queue)
				return true, err
			}
			claim++
			var claimed struct{ Jobs []heldJob }
			if err := conn.call(&claimed, s.request("POST", worker+"/claim", s.token,
				fmt.Appendf(nil, `{"claimId":"%d","limit":%d}`, claim, httpClaim))); err != nil || len(claimed.Jobs) == 0 {
				return false, err
			}
			body := []byte(`{"attempts":[`)
			for i, j := range claimed.Jobs {
				if i > 0 {
					body = append(body, ',')
				}
				body = fmt.Appendf(body, `{"queueName":%q,"id":%q,"attempt":%d,"outcome":"completed"}`, queue, j.ID, j.Attempt)
			}
			var finished struct{ Attempts []struct{ Status string } }
			err := conn.call(&finished, s.request("POST", worker+"/finish", s.token, append(body, "]}"...)))
			for _, a := range finished.Attempts {
				if a.Status != "accepted" {
					return false, fmt.Errorf("an attempt ended as %s", a.Status)
				}
			}
			done.Add(int64(len(finished.Attempts)))
			return err == nil, err
		})
	})
	return speed(int64(jobs), time.Since(start)), err
}

type heldJob struct {
	ID      string
	Attempt int
}

// register makes a worker and returns its path.
func (s *httpServer) register(conn *httpConn, queue string) (path string, err error) {
	var registered struct{ ID string }
	err = conn.call(&registered, s.request("POST", "/api/v1/workers", s.token, fmt.Appendf(nil, `{"queues":[%q]}`, queue)))
	return "/api/v1/workers/" + registered.ID, err
}

// waitOverHTTP measures the cost of claims that wait for jobs that do not come.
func (b *bench) waitOverHTTP(ctx context.Context, s *httpServer) error {
	var waiting atomic.Int64
	defer b.stage("claims wait", httpWaiting, waiting.Load)()
	within, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- together(within, httpWaiting, func(ctx context.Context) error {
			worker, claim := "", 0
			return s.onConnection(ctx, func(conn *httpConn) (bool, error) {
				if worker == "" {
					var err error
					worker, err = s.register(conn, "http-idle")
					waiting.Add(1)
					return true, err
				}
				claim++
				return true, conn.call(nil, s.request("POST", worker+"/claim", s.token,
					fmt.Appendf(nil, `{"claimId":"%d","wait":30000}`, claim)))
			})
		})
	}()
	for waiting.Load() < httpWaiting && waitUntil(ctx, time.Now().Add(50*time.Millisecond)) {
	}
	waitUntil(ctx, time.Now().Add(2*time.Second)) // until the load is stable
	before, read := s.processorTime()
	start := time.Now()
	waitUntil(ctx, start.Add(b.load.Duration))
	after, _ := s.processorTime()
	elapsed := time.Since(start)
	var listening int
	err := b.pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
		AND (query = 'LISTEN penstock' OR query LIKE '%start_listening%' OR query LIKE '%stop_listening%')`).Scan(&listening)
	end()
	if waited := <-ended; err == nil && !errors.Is(waited, context.Canceled) {
		err = waited
	}
	if read {
		b.report.addAmount(fmt.Sprintf("the server's processor time, %d claims waiting", httpWaiting),
			100*(after-before).Seconds()/elapsed.Seconds(), "% of a core")
	}
	b.report.addAmount("listening for them", float64(listening), "connections")
	return err
}

// clockTick is Linux' unit of processor time, on every architecture that Go supports.
const clockTick = 10 * time.Millisecond

// processorTime returns the server's processor time, where the system reports it.
func (s *httpServer) processorTime() (used time.Duration, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // a name may hold anything
	for _, n := range []int{11, 12} {                                         // utime, stime
		ticks, err := strconv.Atoi(fields[n])
		if err != nil {
			return 0, false
		}
		used += time.Duration(ticks) * clockTick
	}
	return used, true
}

// call sends a request that must succeed, and decodes the answer into v if v is not
// nil.
func (c *httpConn) call(v any, request []byte) error {
	var text bytes.Buffer
	status, err := c.roundTrip(request, &text)
	switch {
	case err != nil:
		return err
	case status >= 300:
		line, _, _ := strings.Cut(string(request), "\r\n")
		return fmt.Errorf("%s answers %d: %s", line, status, text.String())
	case v == nil:
		return nil
	}
	return json.Unmarshal(text.Bytes(), v)
}

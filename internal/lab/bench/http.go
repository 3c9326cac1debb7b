package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penstock/penstock"
)

var httpScenario = Scenario{
	Name:  "http",
	Short: "Enqueue over HTTP, one by one and in batches",
	Long: `Starts "penstock serve" with a token as a separate process. Enqueues with POST …/jobs on
64 open connections, each sending its next request when its job is committed; then as
many jobs with POST …/jobs/batch, 1,000 per request, on four. Every request is
authenticated and checked against openapi.yaml. Around each, the library in this process
enqueues half as many: the ceiling. One more connection requests the queue's metrics
fifty times a second. Client, server and PostgreSQL share the machine's cores.`,
	Usual: Load{Jobs: 100_000, PayloadBytes: 100},
	run:   (*bench).http,
}

const (
	httpConnections  = 64
	httpBatchers     = 4
	httpWarmers      = 24
	httpPollEvery    = 20 * time.Millisecond
	httpStartWithin  = 20 * time.Second
	httpStopWithin   = 20 * time.Second
	httpServerMemory = "VmHWM:" // of /proc/PID/status: peak resident memory
)

func (b *bench) http(ctx context.Context) (err error) {
	server, err := b.serveHTTP(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if err := server.warm(ctx, "http-single"); err != nil {
		return err
	}
	jobs := b.load.Jobs
	var seen []Row
	watched := func(name, queue string, post func() (*Speed, error)) (*Speed, error) {
		looks := server.pollMetrics(ctx, queue)
		made, err := post()
		took, lookErr := looks()
		seen = append(seen, Row{Name: name, Latency: took})
		return made, errors.Join(err, lookErr)
	}
	single, err := betweenCeilings(
		func() (*Speed, error) { return b.enqueueSingly(ctx, "direct-single", jobs/2, httpConnections) },
		func() (*Speed, error) {
			return watched("GET …/metrics during single POSTs", "http-single", func() (*Speed, error) { return b.postSingly(ctx, server, "http-single", jobs) })
		})
	if err != nil {
		return err
	}
	single.Name, single.Against = fmt.Sprintf("POST …/jobs, %d connections", httpConnections), againstCommits
	batch, err := betweenCeilings(
		func() (*Speed, error) { return b.enqueueBulk(ctx, "direct-batch", jobs/2, httpBatchers, nil) },
		func() (*Speed, error) {
			return watched("GET …/metrics during batches", "http-batch", func() (*Speed, error) { return b.postBatches(ctx, server, "http-batch", jobs) })
		})
	if err != nil {
		return err
	}
	batch.Name = fmt.Sprintf("POST …/jobs/batch, %d connections", httpBatchers)
	b.report.Rows = append(b.report.Rows, single, batch)
	b.report.Rows = append(b.report.Rows, seen...)
	b.report.setHeadline(single)
	if peak, ok := server.peakMemory(); ok {
		b.report.addAmount("the server's memory, at most", peak, "MiB")
	}
	for _, queue := range []string{"http-single", "http-batch"} {
		if err := b.check(ctx, queue, int64(jobs), 0); err != nil {
			return err
		}
	}
	b.report.addFinding("Each row's %d jobs are in the tables, once. The ceiling is the library without HTTP.", jobs)
	return nil
}

// httpServer is a running penstock serve and its address.
type httpServer struct {
	process *exec.Cmd
	ended   chan error
	address string
	token   string
}

// serveHTTP starts this program's server on the run's database and waits until it is
// ready.
func (b *bench) serveHTTP(ctx context.Context) (*httpServer, error) {
	client, pool, err := b.client(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	token, err := client.Tokens.Create(ctx, penstock.NewToken{Name: "bench", Role: penstock.RoleOperator})
	if err != nil {
		return nil, err
	}
	database, err := b.databaseURL()
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &httpServer{address: address, token: token.Text, ended: make(chan error, 1)}
	s.process = exec.Command(program, "serve", "--listen", address, "--token-rate", "1000000", "--max-depth", "0",
		"--log-format", "json", "--log-level", "error")
	s.process.Args[0] = "penstock-lab" // whatever file it is in
	s.process.Env = append(os.Environ(), "DATABASE_URL="+database)
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	go func() { s.ended <- s.process.Wait() }()
	return s, s.await(ctx)
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// await asks until the server is ready.
func (s *httpServer) await(ctx context.Context) error {
	deadline := time.Now().Add(httpStartWithin)
	for {
		conn, err := s.dial(ctx)
		if err == nil {
			var status int
			if status, err = conn.do(s.request("GET", "/readyz", "", nil)); err == nil && status != 200 {
				err = fmt.Errorf("/readyz answers %d", status)
			}
			conn.close()
		}
		if err == nil {
			return nil
		}
		select {
		case ended := <-s.ended:
			s.ended <- ended
			return fmt.Errorf("the server ended: %w", ended)
		default:
		}
		if !time.Now().Before(deadline) || !waitUntil(ctx, time.Now().Add(20*time.Millisecond)) {
			return errors.Join(fmt.Errorf("the server is not ready: %w", err), s.stop())
		}
	}
}

// stop drains the server, and kills it if that takes too long.
func (s *httpServer) stop() error {
	stop := os.Signal(syscall.SIGTERM)
	if runtime.GOOS == "windows" {
		stop = os.Kill
	}
	_ = s.process.Process.Signal(stop) // it may have ended
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(httpStopWithin):
		return errors.Join(errors.New("penstock serve did not drain"), s.process.Process.Kill())
	}
}

// peakMemory returns the server's peak memory in MiB, where the system reports it.
func (s *httpServer) peakMemory() (mib float64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if size, found := strings.CutPrefix(line, httpServerMemory); found {
			var kib float64
			_, err := fmt.Sscan(size, &kib)
			return kib / 1024, err == nil
		}
	}
	return 0, false
}

func (b *bench) postSingly(ctx context.Context, s *httpServer, queue string, jobs int) (*Speed, error) {
	var taken, done atomic.Int64
	defer b.stage("POST …/jobs", int64(jobs), done.Load)()
	start := time.Now()
	err := together(ctx, httpConnections, func(ctx context.Context) error {
		return s.onConnection(ctx, func(conn *httpConn) (bool, error) {
			n := taken.Add(1)
			if n > int64(jobs) {
				return false, nil
			}
			body := fmt.Appendf(nil, `{"name":%q,"data":%s}`, jobName, newPayload(int(n), b.load.PayloadBytes).json())
			defer done.Add(1)
			return true, conn.expect(201, s.request("POST", "/api/v1/queues/"+queue+"/jobs", s.token, body))
		})
	})
	return speed(int64(jobs), time.Since(start)), err
}

func (b *bench) postBatches(ctx context.Context, s *httpServer, queue string, jobs int) (*Speed, error) {
	var taken, done atomic.Int64
	defer b.stage("POST …/jobs/batch", int64(jobs), done.Load)()
	start := time.Now()
	err := together(ctx, httpBatchers, func(ctx context.Context) error {
		return s.onConnection(ctx, func(conn *httpConn) (bool, error) {
			from := int(taken.Add(bulkBatch)) - bulkBatch
			if from >= jobs {
				return false, nil
			}
			body := []byte{'['}
			to := min(from+bulkBatch, jobs)
			for n := from; n < to; n++ {
				if n > from {
					body = append(body, ',')
				}
				body = fmt.Appendf(body, `{"name":%q,"data":%s}`, jobName, newPayload(n, b.load.PayloadBytes).json())
			}
			defer done.Add(int64(to - from))
			return true, conn.expect(201, s.request("POST", "/api/v1/queues/"+queue+"/jobs/batch", s.token, append(body, ']')))
		})
	})
	return speed(int64(jobs), time.Since(start)), err
}

func (s *httpServer) getMetrics(conn *httpConn, queue string) error {
	return conn.expect(200, s.request("GET", "/api/v1/queues/"+queue+"/metrics", s.token, nil))
}

// warm requests metrics on many connections, so that the server has opened its own
// connections and each has planned the statement, as after a minute of service.
func (s *httpServer) warm(ctx context.Context, queue string) error {
	return together(ctx, httpWarmers, func(ctx context.Context) error {
		asked := 0
		return s.onConnection(ctx, func(conn *httpConn) (bool, error) {
			asked++
			return asked <= 10, s.getMetrics(conn, queue)
		})
	})
}

// pollMetrics requests a queue's metrics periodically until end is called, which
// returns how long the answers took.
func (s *httpServer) pollMetrics(ctx context.Context, queue string) (end func() (*Latency, error)) {
	ctx, cancel := context.WithCancel(ctx)
	took, failed := newTimes(), make(chan error, 1)
	go func() {
		next := time.Now()
		failed <- s.onConnection(ctx, func(conn *httpConn) (bool, error) {
			next = next.Add(httpPollEvery)
			if !waitUntil(ctx, next) {
				return false, nil
			}
			// Measured from when it was due, so that a slow answer does not hide those
			// behind it.
			err := s.getMetrics(conn, queue)
			took.record(time.Since(next))
			return err == nil, err
		})
	}()
	return func() (*Latency, error) {
		cancel()
		err := <-failed
		return took.latency(), err
	}
}

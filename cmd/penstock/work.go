package main

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/server"
)

type workFlags struct {
	queues      []string
	concurrency int
	timeout     wait
	drain       bool
}

func newWork(d *deps) *cobra.Command {
	var f workFlags
	cmd := &cobra.Command{
		Use:   "work --queue QUEUE [--queue QUEUE] -- COMMAND [ARGUMENT…]",
		Short: "Run a command for every job of a queue",
		Long: `Run a command for every job. The job's data is its standard input; its environment
has PENSTOCK_JOB_ID, PENSTOCK_QUEUE, PENSTOCK_NAME, PENSTOCK_ATTEMPT, PENSTOCK_FAILURES,
PENSTOCK_CRASHES, PENSTOCK_PRIORITY, PENSTOCK_TAGS (comma-separated),
PENSTOCK_ENQUEUED_AT, PENSTOCK_TIMEOUT (seconds) and PENSTOCK_TRACE_CONTEXT.

  exit 0         completes the job; what it printed, if that is JSON, is its result
  exit 65        fails it for good: it goes to the dead letter queue
  anything else  fails it: it is retried by its queue's policy

The last line of standard error is the error, the last 16 KiB are its detail. At the
job's deadline, when it is cancelled, and when a stopping worker has waited long enough,
the command and all it started get SIGTERM, and 3 seconds later SIGKILL.

SIGINT or SIGTERM drains: nothing new starts, running commands go on to their end. A
second signal kills them and exits at once; their jobs run again elsewhere.`,
		Example: `  penstock work --queue process-tts --concurrency 4 -- ./speak.sh
  penstock work --queue mail --drain -- sh -c 'jq -r .to | xargs ./send'`,
	}
	flags := cmd.Flags()
	config.Bind(flags, config.DatabaseURL, config.DataDir, config.AdminListen, config.LogLevel, config.LogFormat)
	flags.StringArrayVar(&f.queues, "queue", nil, "a queue to work; may be repeated")
	completeFlag(cmd, "queue", d.queueNames)
	flags.IntVar(&f.concurrency, "concurrency", runtime.NumCPU(), "commands at once for each queue, 1 to 10000")
	flags.Var(&f.timeout, "timeout", "how long a command may take, for jobs that do not say (default: 5m)")
	flags.BoolVar(&f.drain, "drain", false, "exit 0 once nothing is left to do")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd.ArgsLenAtDash(), args); err != nil {
			return err
		}
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		return runWork(cmd.Context(), d, cfg, f, args)
	}
	return cmd
}

// check finds what would only fail later, job by job.
func (f *workFlags) check(dash int, args []string) error {
	switch {
	case len(f.queues) == 0:
		return command.Usagef("work: name a queue to work: --queue QUEUE")
	case dash != 0 || len(args) == 0:
		return command.Usagef("work: put the command last, after --, such as: penstock work --queue mail -- ./send.sh")
	case f.concurrency < 1 || f.concurrency > 10_000:
		return command.Usagef("work: --concurrency must be 1 to 10000, got %d", f.concurrency)
	case f.timeout < 0:
		return command.Usagef("work: --timeout must be positive, got %s", f.timeout.String())
	}
	for _, q := range f.queues {
		if q == "" {
			return command.Usagef("work: --queue was given without a name")
		}
	}
	return nil
}

func runWork(ctx context.Context, d *deps, cfg config.Config, f workFlags, argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return command.Usagef("work: %w: name a program on PATH, or a file as ./program", err)
	}
	log := d.Logger(cfg)
	d.Quiet = true // the log names the database
	pool, err := d.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	reports, err := server.NewTelemetry(ctx, d.Variable, log, command.Version())
	if wrong, ok := errors.AsType[server.SettingsError](err); ok {
		return command.Usage(wrong)
	}
	if err != nil {
		return err
	}
	defer reports.Close()
	client, err := reports.Client(pool, log)
	if err != nil {
		return err
	}
	queues := map[string]penstock.QueueConfig{}
	for _, q := range f.queues {
		queues[q] = penstock.QueueConfig{Concurrency: f.concurrency, Timeout: time.Duration(f.timeout)}
	}
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
		Queues: queues, StopWhenDrained: f.drain, Version: command.Version(), Middleware: reports.Middleware(),
	})
	if err != nil {
		return err
	}

	if cfg.AdminListen != "" {
		stop, err := server.ServeAdmin(ctx, cfg.AdminListen, reports, client, pool)
		if err != nil {
			return err
		}
		defer stop()
		reports.Metrics.WatchWorker(worker)
	}

	commands := newCommands(path, argv, d.Environ, log)
	defer commands.close()
	d.Interrupts.Exiting(commands.killAll)
	d.Interrupts.Stopped(func() {
		log.Info("draining: running commands go on to their end, a second signal kills them")
	})
	for queue := range queues {
		penstock.Handle(worker, queue, penstock.AnyName, commands.handle)
	}
	log.Info("working", zap.String("queues", strings.Join(f.queues, ",")), zap.String("command", argv[0]),
		zap.String("database", databaseName(pool)),
		zap.Int("concurrency", f.concurrency), zap.Bool("drain", f.drain))
	return worker.Run(ctx)
}

// databaseName is where a pool connects, without a secret.
func databaseName(pool *pgxpool.Pool) string {
	at := pool.Config().ConnConfig
	return at.Host + "/" + at.Database
}

package maintain

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/db"
)

// childEnv, when set, makes this binary a server process that keeps the tasks of the
// database it names, and says a line on its standard output per run begun.
const childEnv = "PENSTOCK_MAINTAINTEST_CHILD"

// childLease is short, so that what a killed child held is soon run by another.
const childLease = 2 * time.Second

func childMain(url string) int {
	ctx, stop := context.WithCancel(context.Background())
	go func() { // the parent closes it, or is gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	defer pool.Close()
	s := newScheduler(db.New(pool), silent, map[string]task{
		"mark": func(ctx context.Context, _ json.RawMessage) (any, error) {
			fmt.Println("mark")
			_, err := pool.Exec(ctx, `INSERT INTO marks (pid) VALUES ($1)`, os.Getpid())
			return counts{"marked": 1}, err
		},
		"hang": func(ctx context.Context, _ json.RawMessage) (any, error) {
			fmt.Println("hang")
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	s.lease = childLease
	s.run(ctx)
	return 0
}

// child is such a process, seen from its parent.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string
}

func startChild(t *testing.T, url string) *child {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := &child{cmd: exec.Command(self), lines: make(chan string, 1000)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+url)
	c.cmd.Stderr = os.Stderr
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.lines <- lines.Text()
		}
		close(c.lines)
	}()
	t.Cleanup(func() {
		_ = c.stdin.Close()
		<-read
		_ = c.cmd.Wait() // a killed one says so
	})
	return c
}

// says waits until the child has said a word.
func (c *child) says(t *testing.T, word string) {
	t.Helper()
	select {
	case line := <-c.lines:
		require.Equal(t, word, line)
	case <-time.After(patience):
		require.FailNow(t, "the child did not say "+word)
	}
}

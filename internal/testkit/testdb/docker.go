package testdb

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// image is the oldest PostgreSQL that Penstock supports.
const image = "postgres:15-alpine"

// containerPatience bounds the start of a container, which may have to fetch the image.
const containerPatience = 5 * time.Minute

// untilInputEnds runs the server in the container until the docker command's input
// ends, so that the container never outlives the tests, even when they are killed.
const untilInputEnds = `docker-entrypoint.sh postgres "$@" & cat >/dev/null; kill -QUIT $!; wait`

// startContainer serves machines that have Docker and no PostgreSQL. It uses the docker
// command and no client library, which would be most of every test binary.
func startContainer(ctx context.Context) (url string, stop StopFunc, err error) {
	if out, err := exec.CommandContext(ctx, "docker", "version").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("docker version: %w%s", err, lastLine(out))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), containerPatience)
	defer cancel()
	c, err := runContainer()
	if err != nil {
		return "", nil, err
	}
	if url, err = c.ready(ctx); err != nil {
		return "", nil, fmt.Errorf("start a container: %w", errors.Join(err, c.stop(ctx)))
	}
	return url, c.stop, nil
}

// container is one run of the docker command.
type container struct {
	name   string
	stop   StopFunc
	exited chan struct{} // closed after output is complete
	output bytes.Buffer
}

func runContainer() (*container, error) {
	c := &container{name: "penstock-test-" + strings.ToLower(rand.Text()[:10]), exited: make(chan struct{})}
	cmd := exec.Command("docker", "run", "--rm", "--interactive", "--name", c.name,
		"--publish", "127.0.0.1::5432", "--env", "POSTGRES_HOST_AUTH_METHOD=trust", image,
		"sh", "-c", untilInputEnds, "sh", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "max_connections="+maxConnections)
	cmd.Stdout, cmd.Stderr = &c.output, &c.output
	lifeline, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("docker run: %w", err)
	}
	go func() {
		_ = cmd.Wait() // ready quotes the output; the exit code adds nothing
		close(c.exited)
	}()
	c.stop = func(ctx context.Context) error {
		_ = lifeline.Close()
		select {
		case <-c.exited:
			return nil
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return exec.Command("docker", "rm", "--force", c.name).Run()
		}
	}
	return c, nil
}

// ready returns the URL once the server answers there.
func (c *container) ready(ctx context.Context) (string, error) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	var err error
	for {
		var url string
		if url, err = c.ping(ctx); err == nil {
			return url, nil
		}
		select {
		case <-c.exited:
			return "", fmt.Errorf("docker run ended%s", lastLine(c.output.Bytes()))
		case <-ctx.Done():
			return "", errors.Join(ctx.Err(), err)
		case <-again.C:
		}
	}
}

// ping asks Docker for the published address and Postgres for an answer.
func (c *container) ping(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", "port", c.name, "5432/tcp").Output()
	if err != nil {
		return "", fmt.Errorf("docker port: %w", err)
	}
	address, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	url := "postgres://postgres@" + address + "/postgres?sslmode=disable"
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	return url, conn.Close(ctx)
}

// lastLine is the end of what a command printed, to follow its error.
func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	if text == "" {
		return ""
	}
	return ": " + text[strings.LastIndexByte(text, '\n')+1:]
}

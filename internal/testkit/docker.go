package testkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// image is the oldest PostgreSQL that Penstock supports.
const image = "postgres:15-alpine"

// startContainer is the last source of a server, for machines that have Docker and
// no PostgreSQL. This file alone imports testcontainers, which is big. Its reaper
// removes the container should this process be killed.
func startContainer(ctx context.Context) (base string, stop stopFunc, err error) {
	provider, err := testcontainers.ProviderDocker.GetProvider()
	if err != nil {
		return "", nil, err
	}
	defer provider.Close()
	if err := provider.Health(ctx); err != nil {
		return "", nil, err
	}
	container, err := postgres.Run(ctx, image, postgres.BasicWaitStrategies(),
		testcontainers.WithCmdArgs("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=300"))
	stop = func(context.Context) error { return testcontainers.TerminateContainer(container) }
	if err == nil {
		base, err = container.ConnectionString(ctx, "sslmode=disable")
	}
	if err != nil {
		return "", nil, fmt.Errorf("start a container: %w", errors.Join(err, stop(ctx)))
	}
	return base, stop, nil
}

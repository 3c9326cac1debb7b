// Package dial opens the single connections that Penstock keeps beside its pools, and
// gives every connection of its own a name in pg_stat_activity.
package dial

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/safetext"
)

// connectTimeout bounds a connect, so that a host that never answers is noticed.
const connectTimeout = 5 * time.Second

// mostName is how many bytes Postgres keeps of application_name.
const mostName = 63

// Named returns a copy of config whose sessions are named for what they do, such as
// worker-listen. See Name.
func Named(config *pgx.ConnConfig, kind string) *pgx.ConnConfig {
	named := config.Copy()
	Name(named, kind)
	return named
}

// Name sets the application_name of config's sessions to penstock-KIND. A name that the
// application has chosen stays in front of it.
func Name(config *pgx.ConnConfig, kind string) {
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	name := "penstock-" + kind
	if chosen := config.RuntimeParams["application_name"]; chosen != "" && chosen != "penstock" {
		name = safetext.Clip(chosen, mostName-len(name)-1) + " " + name
	}
	config.RuntimeParams["application_name"] = name
	Pin(config.RuntimeParams)
}

// Pin sets what every session of ours relies on, whatever the server, the database or the
// role has as its default: text travels as UTF-8, and a backslash in a literal is itself.
// Poolers know both settings and keep them apart by client.
func Pin(params map[string]string) {
	params["client_encoding"] = "UTF8"
	params["standard_conforming_strings"] = "on"
}

// Connect opens a connection within 5 s.
func Connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, config.Copy())
}

// Close closes a connection and waits a second at most.
func Close(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // broken or not, it is gone
}

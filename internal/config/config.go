// Package config gathers what the command line and the environment say into one
// validated struct. A setting is a field of Config: its tags name the flag, the
// environment variable, the default and what is allowed, and everything else (help
// texts, parsing, error messages) is derived from them.
//
// A flag that was given wins over the environment, which wins over the default. An
// empty variable counts as unset. A command sees only the settings it binds, so a bad
// PENSTOCK_LISTEN never stops `penstock enqueue`.
package config

import "time"

// Flag names, for Bind.
const (
	DatabaseURL = "database-url"
	Listen      = "listen"
	API         = "api"
	Maintenance = "maintenance"
	AdminListen = "admin-listen"
	TLSCert     = "tls-cert"
	TLSKey      = "tls-key"
	TokenRate   = "token-rate"
	MaxDepth    = "max-depth"
	Announce    = "announce-drain"
	DataDir     = "data-dir"
	LogLevel    = "log-level"
	LogFormat   = "log-format"
)

// Config is every setting of the command line, validated. Settings that the command
// did not bind have their defaults.
type Config struct {
	// DatabaseURL is empty when a private PostgreSQL is to be started instead.
	DatabaseURL DSN `flag:"database-url" env:"DATABASE_URL" type:"url" usage:"PostgreSQL to use; without it a private one is started" want:"postgres://user:password@host:port/database with special characters percent-encoded, or host=… user=… dbname=…"`

	// Listen is host:port. An empty host means every interface, port 0 any free port.
	Listen string `flag:"listen" env:"PENSTOCK_LISTEN" envDefault:"127.0.0.1:8080" type:"host:port" usage:"where to serve HTTP" want:"host:port with a port of 0–65535, such as 127.0.0.1:8080 or :8080"`

	// API and Maintenance are the two things that serve does.
	API         bool `flag:"api" env:"PENSTOCK_API" envDefault:"true" type:"bool" usage:"serve the HTTP API" want:"true or false"`
	Maintenance bool `flag:"maintenance" env:"PENSTOCK_MAINTENANCE" envDefault:"true" type:"bool" usage:"keep the queues in order: bury dead workers, make partitions …" want:"true or false"`

	// AdminListen is where metrics and profiles are served; empty serves them nowhere.
	AdminListen string `flag:"admin-listen" env:"PENSTOCK_ADMIN_LISTEN" type:"host:port" usage:"where to serve /metrics and /debug/pprof, beyond loopback to tokens only; nowhere when empty" want:"host:port with a port of 0–65535, such as 127.0.0.1:8081"`

	// TLSCert and TLSKey are PEM files, read again when they change; both or neither.
	TLSCert string `flag:"tls-cert" env:"PENSTOCK_TLS_CERT" type:"file" usage:"serve HTTPS with this certificate chain (PEM); read again when it changes" want:"a file's path, and --tls-key with it"`
	TLSKey  string `flag:"tls-key" env:"PENSTOCK_TLS_KEY" type:"file" usage:"the certificate's private key (PEM)" want:"a file's path, and --tls-cert with it"`

	// TokenRate is in requests a second; MaxDepth in jobs, 0 being any number.
	TokenRate int `flag:"token-rate" env:"PENSTOCK_TOKEN_RATE" envDefault:"10000" type:"number" usage:"how many requests a second one token may send to this server" want:"a whole number from 1 to 1000000"`
	MaxDepth  int `flag:"max-depth" env:"PENSTOCK_MAX_DEPTH" envDefault:"1000000" type:"number" usage:"how many jobs may wait in a queue before enqueueing over HTTP is refused; 0 for any number" want:"a whole number from 0 to 10000000"`

	// Announce is how long /readyz says no before a draining server stops listening.
	Announce time.Duration `flag:"announce-drain" env:"PENSTOCK_ANNOUNCE_DRAIN" envDefault:"0s" type:"duration" usage:"how long /readyz says no before a draining server stops listening" want:"a duration from 0s to 1m, such as 5s"`

	// DataDir holds the private PostgreSQL; empty takes the usual place for the user.
	DataDir string `flag:"data-dir" env:"PENSTOCK_DATA_DIR" type:"dir" usage:"where the private PostgreSQL keeps its data" want:"a directory's path"`

	// LogLevel is debug, info, warn or error.
	LogLevel string `flag:"log-level" env:"PENSTOCK_LOG_LEVEL" envDefault:"info" type:"level" usage:"the least that is logged: debug, info, warn, error" want:"debug, info, warn or error"`

	// LogFormat is auto, console or json; auto is console on a terminal, else json.
	LogFormat string `flag:"log-format" env:"PENSTOCK_LOG_FORMAT" envDefault:"auto" type:"format" usage:"console, json, or auto: console on a terminal" want:"auto, console or json"`
}

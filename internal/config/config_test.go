package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// load parses args into the bound settings (all when bound is empty).
func load(t *testing.T, environ, args []string, bound ...string) (Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Bind(flags, bound...)
	require.NoError(t, flags.Parse(args))
	return Load(flags, environ)
}

func TestNothingGivenMeansDefaults(t *testing.T) {
	c, err := load(t, nil, nil)
	require.NoError(t, err)
	require.Equal(t, Config{
		Listen: "127.0.0.1:8080", API: true, Maintenance: true, TokenRate: 10_000, MaxDepth: 1_000_000,
		LogLevel: "info", LogFormat: "auto",
	}, c)
}

func TestDefaultsPassTheirOwnChecks(t *testing.T) {
	c, err := load(t, nil, nil)
	require.NoError(t, err)
	for flag, check := range checks {
		require.True(t, check(c), flag)
	}
}

func TestFlagsWinOverVariablesAndVariablesOverDefaults(t *testing.T) {
	environ := []string{"PENSTOCK_LISTEN=:9000", "PENSTOCK_LOG_LEVEL=debug", "PENSTOCK_MAINTENANCE=true", "DATABASE_URL=postgres://env/db"}
	c, err := load(t, environ, []string{"--listen", "[::1]:0", "--maintenance=false"})
	require.NoError(t, err)
	require.Equal(t, "[::1]:0", c.Listen)
	require.Equal(t, "debug", c.LogLevel)
	require.False(t, c.Maintenance)
	require.Equal(t, "postgres://env/db", c.DatabaseURL.Reveal())
}

func TestAnEmptyVariableCountsAsUnset(t *testing.T) {
	c, err := load(t, []string{"PENSTOCK_LISTEN=", "PENSTOCK_MAINTENANCE="}, nil)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", c.Listen)
	require.True(t, c.Maintenance)
}

func TestAnEmptyFlagOverridesTheVariable(t *testing.T) {
	c, err := load(t, []string{"DATABASE_URL=postgres://prod/db"}, []string{"--database-url="})
	require.NoError(t, err)
	require.Empty(t, c.DatabaseURL)
}

func TestASwitchNeedsNoValue(t *testing.T) {
	c, err := load(t, []string{"PENSTOCK_MAINTENANCE=false"}, []string{"--maintenance", "--data-dir", "/data"})
	require.NoError(t, err)
	require.True(t, c.Maintenance)
	require.Equal(t, "/data", c.DataDir)
}

func TestACommandSeesOnlyWhatItBinds(t *testing.T) {
	c, err := load(t, []string{"PENSTOCK_LISTEN=nonsense", "PENSTOCK_LOG_LEVEL=warn"}, nil, LogLevel)
	require.NoError(t, err)
	require.Equal(t, "warn", c.LogLevel)
	require.Equal(t, "127.0.0.1:8080", c.Listen)
}

func TestBindPanicsOnANameThatDoesNotExist(t *testing.T) {
	require.PanicsWithValue(t, `config: no setting is called "lisen"`, func() {
		Bind(pflag.NewFlagSet("test", pflag.ContinueOnError), "lisen")
	})
}

func TestHelpNamesFlagVariableAndDefault(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Bind(flags)
	usage := flags.FlagUsages()
	for _, want := range []string{"--listen host:port", "PENSTOCK_LISTEN", "127.0.0.1:8080", "--log-level level", "DATABASE_URL"} {
		require.Contains(t, usage, want)
	}
}

func TestARefusedSettingNamesFlagVariableAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		name, flag, env, value, allowed string
	}{
		{"a port is needed", Listen, "PENSTOCK_LISTEN", "localhost", "host:port"},
		{"a port ends at 65535", Listen, "PENSTOCK_LISTEN", "localhost:65536", "host:port"},
		{"a port is a number", Listen, "PENSTOCK_LISTEN", "localhost:http", "host:port"},
		{"an admin address is one too", AdminListen, "PENSTOCK_ADMIN_LISTEN", "8081", "host:port"},
		{"a certificate comes with its key", TLSCert, "PENSTOCK_TLS_CERT", "/tls/cert.pem", "--tls-key"},
		{"a key comes with its certificate", TLSKey, "PENSTOCK_TLS_KEY", "/tls/key.pem", "--tls-cert"},
		{"a rate of nothing stops everybody", TokenRate, "PENSTOCK_TOKEN_RATE", "0", "1 to 1000000"},
		{"a rate is a number", TokenRate, "PENSTOCK_TOKEN_RATE", "fast", "1 to 1000000"},
		{"a depth is not negative", MaxDepth, "PENSTOCK_MAX_DEPTH", "-1", "0 to 10000000"},
		{"a drain has an end", Announce, "PENSTOCK_ANNOUNCE_DRAIN", "1h", "0s to 1m"},
		{"a level has a name", LogLevel, "PENSTOCK_LOG_LEVEL", "verbose", "debug, info, warn or error"},
		{"a format has a name", LogFormat, "PENSTOCK_LOG_FORMAT", "xml", "auto, console or json"},
		{"a switch is true or false", Maintenance, "PENSTOCK_MAINTENANCE", "perhaps", "true or false"},
		{"a path has no NUL", DataDir, "PENSTOCK_DATA_DIR", "/var\x00/lib", "a directory's path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, fromFlag := load(t, nil, []string{"--" + c.flag + "=" + c.value})
			_, fromEnv := load(t, []string{c.env + "=" + c.value}, nil)
			for _, err := range []error{fromFlag, fromEnv} {
				require.ErrorContains(t, err, "--"+c.flag)
				require.ErrorContains(t, err, c.env)
				require.ErrorContains(t, err, fmt.Sprintf("%q", c.value))
				require.ErrorContains(t, err, c.allowed)
				require.Equal(t, 1, strings.Count(err.Error(), " or PENSTOCK_"), "one complaint per setting: %s", err)
			}
		})
	}
}

func TestEveryRefusedSettingIsNamedAtOnce(t *testing.T) {
	_, err := load(t, nil, []string{"--listen=x", "--log-format=x", "--api=x"})
	require.ErrorContains(t, err, "--listen")
	require.ErrorContains(t, err, "--log-format")
	require.ErrorContains(t, err, "--api")
}

func TestARefusedConnectionStringIsNotRepeated(t *testing.T) {
	for _, text := range []string{"mysql://u:s3cret@h/db", "postgres://u:s3/cret@h/db", "host=h password='s3cret", "s3cret"} {
		_, err := load(t, nil, []string{"--database-url", text})
		require.ErrorContains(t, err, "DATABASE_URL")
		require.NotContains(t, err.Error(), "s3")
	}
}

func TestEveryFieldHasEveryTag(t *testing.T) {
	require.Len(t, settings, reflect.TypeFor[Config]().NumField())
	for _, s := range settings {
		for _, tag := range []string{s.flag, s.env, s.kind, s.usage, s.want} {
			require.NotEmpty(t, tag, s.field)
		}
	}
}

func TestConnectionStringsPrintWithoutSecrets(t *testing.T) {
	for _, c := range []struct {
		name, given, printed string
	}{
		{"nothing prints as nothing", "", ""},
		{"a URL hides its password", "postgres://app:s3cret@db:5432/app?sslmode=require", "postgres://app:xxxxx@db:5432/app?sslmode=require"},
		{"a URL without a password stays", "postgresql://app@/app?host=/run/pg", "postgresql://app@/app?host=/run/pg"},
		{"several hosts are fine", "postgres://app:s3cret@a:1,b:2/app", "postgres://app:xxxxx@a:1,b:2/app"},
		{"a password in the query hides", "postgres://db/app?user=app&password=s3cret", "postgres://db/app?user=app&password=xxxxx"},
		{"so does one with an escaped name", "postgres://db/app?p%61ssword=s3cret", "postgres://db/app?p%61ssword=xxxxx"},
		{"and a key's passphrase", "postgres://db/app?sslpassword=s3cret", "postgres://db/app?sslpassword=xxxxx"},
		{"an ambiguous password hides everything", "postgres://app:s3c/r@et@db/app", notShown},
		{"a question mark in it too", "postgres://app:s3c?r@db/app", notShown},
		{"also after digits", "postgres://app:123?s3@db/app", notShown},
		{"an IPv6 host is fine", "postgres://app:s3cret@[::1]:5432/app", "postgres://app:xxxxx@[::1]:5432/app"},
		{"an at sign in a parameter is fine", "postgres://db/app?application_name=a@b", "postgres://db/app?application_name=a@b"},
		{"a fragment too", "postgres://app@db/app#s3cret", notShown},
		{"pairs hide their password", "host=db user=app password=s3cret dbname=app", "host=db user=app password=xxxxx dbname=app"},
		{"quoted with spaces", "user=app password = 's3 cr\\'et' dbname=app", "user=app password=xxxxx dbname=app"},
		{"escaped without quotes", `password=s3\ cret host=db`, "password=xxxxx host=db"},
		{"an open quote hides everything", "host=db password='s3cret", notShown},
		{"another scheme hides everything", "mysql://app:s3cret@db/app", notShown},
		{"a bare word hides everything", "s3cret", notShown},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := DSN(c.given)
			encoded, err := json.Marshal(map[string]DSN{"url": d})
			require.NoError(t, err)
			require.Equal(t, c.printed, d.String())
			for _, text := range []string{fmt.Sprint(d), fmt.Sprintf("%+v %#v %q", Config{DatabaseURL: d}, d, d), string(encoded)} {
				require.NotContains(t, text, "s3")
			}
			require.Equal(t, c.given, d.Reveal())
		})
	}
}

func TestShowTellsEachSettingAndWhereItCameFrom(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Bind(flags, DatabaseURL, Listen, LogLevel)
	require.NoError(t, flags.Parse([]string{"--listen", ":1"}))
	environ := []string{"DATABASE_URL=postgres://app:s3cret@db/app", "PENSTOCK_LISTEN=:2"}
	c, err := Load(flags, environ)
	require.NoError(t, err)
	require.Equal(t, []Shown{
		{"database-url", "DATABASE_URL", "postgres://app:xxxxx@db/app", "environment"},
		{"listen", "PENSTOCK_LISTEN", ":1", "flag"},
		{"log-level", "PENSTOCK_LOG_LEVEL", "info", "default"},
	}, Show(c, flags, environ))
}

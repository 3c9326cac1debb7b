package config

import (
	"net/url"
	"regexp"
	"strings"
)

// DSN is a PostgreSQL connection string, a URL or keyword=value pairs. Every way of
// printing, logging or marshalling it hides its secrets; Reveal does not.
type DSN string

const (
	hidden   = "xxxxx"
	notShown = "(connection string not shown)"
)

// Reveal returns the connection string as it was given, for the driver alone.
func (d DSN) Reveal() string { return string(d) }

// String returns the connection string with its secrets as xxxxx, or a constant when
// it cannot be read well enough to be sure which parts are secret.
func (d DSN) String() string {
	if d == "" {
		return ""
	}
	redacted, ok := d.redact()
	if !ok {
		return notShown
	}
	return redacted
}

// GoString keeps %#v from printing what String hides.
func (d DSN) GoString() string { return d.String() }

// MarshalText hides the secrets from JSON and YAML too.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d DSN) readable() bool {
	_, ok := d.redact()
	return ok
}

func (d DSN) redact() (string, bool) {
	if strings.HasPrefix(string(d), "postgres://") || strings.HasPrefix(string(d), "postgresql://") {
		return redactURL(string(d))
	}
	return redactPairs(string(d))
}

// urlParts takes several hosts (which net/url refuses) and nothing ambiguous: a raw
// '/', '?', '#' or '@' in a password leaves something that is no host, port or
// parameter, so nothing of it is shown.
var (
	urlParts = regexp.MustCompile(`^(postgres(?:ql)?://)(?:([^:/?#@\s]*)(:[^/?#@\s]*)?@)?` + hosts + `(/[^?#@\s]*)?(?:\?([^#\s]*))?$`)
	urlKey   = regexp.MustCompile(`^[a-z_]+$`)
)

const (
	host  = `(?:[^:,/?#@\s\[\]]*|\[[0-9A-Fa-f:.%]+\])(?::[0-9]*)?`
	hosts = `(` + host + `(?:,` + host + `)*)`
)

func redactURL(text string) (string, bool) {
	parts := urlParts.FindStringSubmatch(text)
	if parts == nil {
		return "", false
	}
	scheme, user, password, hosts, path, query := parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]
	var b strings.Builder
	b.WriteString(scheme)
	if password != "" {
		user += ":" + hidden
	}
	if user != "" {
		b.WriteString(user + "@")
	}
	b.WriteString(hosts + path)
	if query == "" {
		return b.String(), true
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		key, _, found := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(key)
		if err != nil || !found || !urlKey.MatchString(plain) {
			return "", false
		}
		if secret(plain) {
			pairs[i] = key + "=" + hidden
		}
	}
	b.WriteString("?" + strings.Join(pairs, "&"))
	return b.String(), true
}

// redactPairs reads keyword = value as libpq does: spaces around '=' are allowed, a
// value may be quoted with ', and a backslash takes the next character as it is.
func redactPairs(text string) (string, bool) {
	var out []string
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		key, after, found := strings.Cut(rest, "=")
		key = strings.TrimSpace(key)
		if !found || !keyword.MatchString(key) {
			return "", false
		}
		value, tail, ok := cutValue(strings.TrimLeft(after, " \t\r\n\f\v"))
		if !ok {
			return "", false
		}
		if secret(key) {
			value = hidden
		}
		out = append(out, key+"="+value)
		rest = tail
	}
	return strings.Join(out, " "), len(out) > 0
}

var keyword = regexp.MustCompile(`^[A-Za-z_]+$`)

// cutValue splits text after its first value, which keeps its quotes; ok is false when
// a quote is not closed.
func cutValue(text string) (value, rest string, ok bool) {
	quoted := strings.HasPrefix(text, "'")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case quoted && c == '\'' && i > 0:
			return text[:i+1], text[i+1:], true
		case !quoted && strings.IndexByte(" \t\r\n\f\v", c) >= 0:
			return text[:i], text[i:], true
		}
	}
	return text, "", !quoted
}

// secret reports whether a connection parameter of this name is to be hidden: password
// and sslpassword today, and whatever later names itself so.
func secret(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "password") || strings.Contains(name, "secret") || strings.Contains(name, "token")
}

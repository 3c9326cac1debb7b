package httpapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
	"github.com/penstock/penstock/internal/testkit"
)

var noMetrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func TestTheAdminListenerAsksForNoTokenOverLoopback(t *testing.T) {
	t.Parallel()
	e := NewAdmin(Deps{Loopback: true}, noMetrics)
	require.Equal(t, http.StatusNoContent, send(e, "GET", "/metrics", "").Code)
	require.Equal(t, http.StatusOK, send(e, "GET", "/debug/pprof/", "").Code)
	require.Equal(t, http.StatusOK, send(e, "GET", "/debug/pprof/goroutine?debug=1", "").Code)
	require.Equal(t, http.StatusOK, send(e, "GET", "/healthz", "").Code)
	require.Equal(t, http.StatusOK, send(e, "GET", "/readyz", "").Code)
	require.Equal(t, http.StatusForbidden, sendAs(e, "evil.example", "GET", "/metrics", "").Code)
	require.Equal(t, http.StatusNotFound, send(NewAdmin(Deps{Loopback: true}, nil), "GET", "/metrics", "").Code)
}

func TestBeyondLoopbackProfilesAreForAdmins(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	s := newService(Deps{Client: client}, openapi.Spec)
	s.tokens.armed.Store(true) // nobody looks for tokens after the test
	e := s.adminRouter(noMetrics)
	_, reader := newTestToken(t, client, penstock.NewToken{Name: "scraper", Role: penstock.RoleReader})
	_, admin := newTestToken(t, client, penstock.NewToken{Name: "root", Role: penstock.RoleAdmin})
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/metrics", "", 401},
		{"/metrics", reader, 204},
		{"/metrics", admin, 204},
		{"/debug/pprof/heap", "", 401},
		{"/debug/pprof/heap", reader, 403},
		{"/debug/pprof/heap", admin, 200},
		{"/healthz", "", 200},
	} {
		recorder := send(e, "GET", c.path, "", "Authorization", "Bearer "+c.token)
		require.Equal(t, c.status, recorder.Code, "%s with %q", c.path, c.token)
	}
}

// writeCertificate makes a self-signed pair of files.
func writeCertificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
	return cert, key
}

func TestACertificateIsReadAgainWhenItsFilesChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "first.example")
	f := &certificateFiles{cert: cert, key: key}
	require.NoError(t, f.read())
	first := f.current()
	require.Same(t, first, f.current())

	require.NoError(t, os.WriteFile(cert, []byte("half of it"), 0o600))
	f.checked = time.Time{}
	require.Same(t, first, f.current(), "the old one is served until the new one is whole")

	writeCertificate(t, dir, "second.example")
	f.checked = time.Time{}
	leaf, err := x509.ParseCertificate(f.current().Certificate[0])
	require.NoError(t, err)
	require.Equal(t, []string{"second.example"}, leaf.DNSNames)
}

func TestServeSpeaksTLS(t *testing.T) {
	t.Parallel()
	cert, key := writeCertificate(t, t.TempDir(), "localhost")
	settings, err := TLS(cert, key)
	require.NoError(t, err)
	url, stop, ended := serving(t, New(Deps{}), ServeConfig{TLS: settings})
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("https" + url[len("http"):] + "/healthz")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 2, response.ProtoMajor)
	require.Equal(t, "max-age=31536000", response.Header.Get("Strict-Transport-Security"))

	conn, err := net.Dial("tcp", url[len("http://"):])
	require.NoError(t, err)
	old := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	require.Error(t, old.Handshake(), "TLS 1.1 is over")
	require.NoError(t, conn.Close())
	transport.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended)

	_, err = TLS(cert, "/nowhere")
	require.ErrorContains(t, err, "read TLS certificate")
}

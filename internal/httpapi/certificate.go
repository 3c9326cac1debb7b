package httpapi

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificateCheck is how often a certificate's files are looked at.
const certificateCheck = 10 * time.Second

// TLS serves with the certificate chain and key of two PEM files, TLS 1.2 and later.
// When the files change they are read again, within 10 s and as a pair: until both fit
// each other the old ones are served on.
func TLS(certFile, keyFile string) (*tls.Config, error) {
	f := &certificateFiles{cert: certFile, key: keyFile}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil },
	}, nil
}

type certificateFiles struct {
	cert, key string

	mu      sync.Mutex // guards what follows
	served  *tls.Certificate
	changed [2]time.Time // of the files, when served was read
	checked time.Time
}

func (f *certificateFiles) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) >= certificateCheck {
		_ = f.readLocked() // the old one is served until there is a whole new one
	}
	return f.served
}

func (f *certificateFiles) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readLocked()
}

func (f *certificateFiles) readLocked() error {
	f.checked = time.Now()
	var changed [2]time.Time
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		changed[i] = info.ModTime()
	}
	if f.served != nil && changed == f.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.served, f.changed = &pair, changed
	return nil
}

package oidc

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority writes the certificate of a TLS test server to a file.
func authority(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newClient(t *testing.T, o ClientOptions) *http.Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// fetchBody asks for an address and reads all of the answer.
func fetchBody(t *testing.T, c *http.Client, address string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func wantError(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, want one that says %q", err, says)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	const most = 1000
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			t.Error(err)
		}
		body := bytes.Repeat([]byte("x"), n)
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", fmt.Sprint(n))
		case "/chunked":
			w.(http.Flusher).Flush()
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(body) // the client may have left
			_ = z.Close()
			return
		}
		w.Write(body)
	}))
	defer s.Close()
	c := newClient(t, ClientOptions{MaxBody: most})
	for _, path := range []string{"/length", "/chunked", "/gzip"} {
		for _, n := range []int{0, 1, most - 1, most} {
			body, err := fetchBody(t, c, fmt.Sprintf("%s%s?n=%d", s.URL, path, n))
			if err != nil || len(body) != n {
				t.Errorf("%s: %d of %d bytes, %v", path, len(body), n, err)
			}
		}
		for _, n := range []int{most + 1, 10 * most, 10 << 20} {
			body, err := fetchBody(t, c, fmt.Sprintf("%s%s?n=%d", s.URL, path, n))
			wantError(t, err, "the answer is over 1000 bytes")
			if len(body) > most {
				t.Errorf("%s: %d bytes came through", path, len(body))
			}
		}
	}
	if body, err := fetchBody(t, newClient(t, ClientOptions{}), fmt.Sprintf("%s/chunked?n=%d", s.URL, 1<<20)); err != nil || len(body) != 1<<20 {
		t.Errorf("the zero options let through %d bytes, %v", len(body), err)
	}
}

func TestReadingOnAfterTooMuch(t *testing.T) {
	b := &boundedBody{ReadCloser: io.NopCloser(strings.NewReader("12345")), max: 3, left: 3}
	buffer := make([]byte, 10)
	n, err := b.Read(buffer)
	if n != 3 || !errors.Is(err, errBodySize(3)) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if n, err = b.Read(buffer); n != 0 || !errors.Is(err, errBodySize(3)) {
		t.Errorf("then %d bytes, %v", n, err)
	}
}

func TestConnectionsAreKeptAndNamed(t *testing.T) {
	var agents []string
	var ports []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		agents, ports = append(agents, r.UserAgent()), append(ports, r.RemoteAddr)
	}))
	defer s.Close()
	c := newClient(t, ClientOptions{})
	for range 2 {
		if _, err := fetchBody(t, c, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if ports[0] != ports[1] {
		t.Error("the second request took another connection")
	}
	if got, want := agents[0], "credence"; got != want {
		t.Errorf("User-Agent %q, want %q", got, want)
	}
}

func TestSEC_5_59_RedirectsStayOnTheServer(t *testing.T) {
	var elsewhere atomic.Int64
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	otherTLS, plainHTTP := httptest.NewTLSServer(count), httptest.NewServer(count)
	defer otherTLS.Close()
	defer plainHTTP.Close()

	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := r.URL.Query().Get("to")
		var hops int
		if n, _ := fmt.Sscanf(to, "hop%d", &hops); n == 1 {
			to = s.URL
			if hops > 1 {
				to = fmt.Sprintf("/?to=hop%d", hops-1)
			}
		}
		if to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		io.WriteString(w, "arrived")
	}))
	defer s.Close()
	c := newClient(t, ClientOptions{CAFile: authority(t, s)})
	host := strings.TrimPrefix(s.URL, "https://127.0.0.1")
	for _, row := range []struct{ name, to, says string }{
		{"none", "", ""},
		{"once", "hop1", ""},
		{"three times", "hop3", ""},
		{"four times", "hop4", "more than 3 redirects"},
		{"to another port", otherTLS.URL, "refused"},
		{"to http", plainHTTP.URL, "refused"},
		{"to http of the same server", "http://127.0.0.1" + host, "refused"},
		{"to another name of the same server", "https://localhost" + host, "refused"},
		{"to a metadata service", "http://169.254.169.254/latest", "refused"},
		{"to a file", "file:///etc/passwd", "refused"},
		{"to something endless", "https://" + strings.Repeat("x", 20_000) + ".test", "refused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			body, err := fetchBody(t, c, s.URL+"/?to="+url.QueryEscape(row.to))
			if row.says != "" {
				wantError(t, err, row.says)
				if len(plain(err)) > 500 {
					t.Errorf("an error of %d bytes", len(plain(err)))
				}
			} else if err != nil || body != "arrived" {
				t.Errorf("body %q, %v", body, err)
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestDefaultPortsAreTheSameServer(t *testing.T) {
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"https://a.test/x", "https://a.test:443/y", true},
		{"https://A.test", "https://a.test", true},
		{"http://a.test", "http://a.test:80", true},
		{"https://a.test", "https://a.test:80", false},
		{"https://a.test", "http://a.test:443", false},
		{"https://a.test", "https://a.test.", false},
		{"https://a.test", "https://\u212a.test", false},
	} {
		a, _ := url.Parse(row.a)
		b, _ := url.Parse(row.b)
		if got := origin(a) == origin(b); got != row.same {
			t.Errorf("%s and %s: same %t, want %t", row.a, row.b, got, row.same)
		}
	}
}

func TestSEC_5_58_TLSIsChecked(t *testing.T) {
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	good := httptest.NewUnstartedServer(http.NotFoundHandler())
	good.Config.ErrorLog = quiet
	good.StartTLS()
	defer good.Close()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = quiet
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	ca := authority(t, good) // both have the same certificate

	_, err := fetchBody(t, newClient(t, ClientOptions{}), good.URL)
	wantError(t, err, "certificate")
	_, err = fetchBody(t, newClient(t, ClientOptions{CAFile: ca}), old.URL)
	wantError(t, err, "protocol version")
	if _, err = fetchBody(t, newClient(t, ClientOptions{CAFile: ca}), good.URL); err != nil {
		t.Error(err)
	}

	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = NewClient(ClientOptions{CAFile: empty})
	wantError(t, err, "holds no PEM certificate")
	_, err = NewClient(ClientOptions{CAFile: empty + ".missing"})
	wantError(t, err, "no such file")
}

func TestHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	got, err := fetchBody(t, newClient(t, ClientOptions{CAFile: authority(t, s)}), s.URL)
	if want := "HTTP/2.0"; got != want || err != nil {
		t.Errorf("protocol %q, want %q (%v)", got, want, err)
	}
}

func TestSEC_5_59_MetadataIsNeverDialled(t *testing.T) {
	for _, row := range []struct{ address, says string }{
		{"169.254.169.254:80", "refused"},
		{"[::ffff:169.254.169.254]:80", "refused"},
		{"[fe80::1%eth0]:443", "refused"},
		{"[64:ff9b::a9fe:a9fe]:80", "refused"},
		{"[2002:a9fe:a9fe::]:80", "refused"},
		{"[::a9fe:a9fe]:80", "refused"},
		{"[fd00:ec2::254]:80", "refused"},
		{"[fd20:ce::254]:80", "refused"},
		{"100.100.100.200:80", "refused"},
		{"[::ffff:100.100.100.200]:80", "refused"},
		{"192.0.0.192:80", "refused"},
		{"[fd00:ec2::23]:80", "refused"},
		{"168.63.129.16:80", "refused"},
		{"[64:ff9b:1::a83f:8110]:80", "refused"},
		{"[fd00:100::100:200]:80", "refused"},
		{"[fd00:c1::a9fe:a9fe]:80", "refused"},
		{"[fd00:42::42]:80", "refused"},
		{"[fd00:a9fe:a9fe::1]:80", "refused"},
		{"nonsense", "not an ip:port"},
		{"127.0.0.1:443", ""},
		{"10.0.0.1:443", ""},
		{"[fd00::1]:443", ""},
		{"[::1]:443", ""},
		{"[64:ff9b::a00:1]:443", ""},
		{"[64:ff9b:1::a00:1]:443", ""},
		{"[fd00:ec3::1]:443", ""},
		{"[2002:a00:1::1]:443", ""},
		{"169.253.255.255:443", ""},
	} {
		err := refuseLinkLocal(t.Context(), "tcp", row.address, nil)
		if row.says != "" {
			wantError(t, err, row.says)
		} else if err != nil {
			t.Errorf("%s: %v", row.address, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	transport, err := newTransport(&ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.DialContext(ctx, "tcp", "169.254.169.254:80")
	wantError(t, err, "link-local addresses are refused")
}

func TestSEC_5_59_WhereAProviderMayBeAsked(t *testing.T) {
	for _, row := range []struct {
		address   string
		plainHTTP bool
		says      string
	}{
		{"https://login.example.com/keys", false, ""},
		{"https://10.0.0.1:8443", false, ""},
		{"http://127.0.0.1:8080/keys", true, ""},
		{"http://[::1]:8080", true, ""},
		{"http://localhost:8080", true, ""},
		{"http://127.0.0.1:8080", false, "plain http"},
		{"http://localhost.example.com", true, "plain http"},
		{"http://127.0.0.1.example.com", true, "plain http"},
		{"http://login.example.com", true, "plain http"},
		{"http://0.0.0.0", true, "plain http"},
		{"https://user:password@login.example.com", false, "user or password"},
		{"", false, "isn't an absolute URL"},
		{"login.example.com", false, "isn't an absolute URL"},
		{"/keys", false, "isn't an absolute URL"},
		{"https:login.example.com", false, "isn't an absolute URL"},
		{"https://%zz", false, "isn't an absolute URL"},
		{"ftp://login.example.com", true, "isn't an https URL"},
		{"HTTPS://login.example.com", false, ""}, // url.Parse folds the scheme
	} {
		err := checkURL(row.address, row.plainHTTP)
		if row.says != "" {
			wantError(t, err, row.says)
			if err != nil && strings.Contains(err.Error(), "password@") {
				t.Errorf("a password is shown: %v", err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", row.address, err)
		}
	}
}

func TestForeignTextInErrors(t *testing.T) {
	if got, most := len(excerpt(strings.Repeat("\x00", 10_000))), 1000; got > most {
		t.Errorf("an excerpt of %d bytes", got)
	}
	if got, want := excerpt("a\x1b[2J\u2028"), `"a\x1b[2J\u2028"`; got != want {
		t.Errorf("excerpt %s, want %s", got, want)
	}
	if got, want := plain(errors.New("a\x1b[2J\nb\xff")), "a [2J b?"; got != want {
		t.Errorf("plain %q, want %q", got, want)
	}
	if got, most := len(plain(errors.New(strings.Repeat("é", 10_000)))), 410; got > most {
		t.Errorf("a text of %d bytes", got)
	}
}

package gateway

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/gateway/edge"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/session"
)

// aToken is of the form of one.
var aToken = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)) + ".cGF5bG9hZA.c2lnbmF0dXJl"

func upgradeRequest(headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "/mqtt", nil)
	r.Host = "mqtt.example.com"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	return r
}

// newServer is a whole gateway on a stage; change may alter its options.
func newServer(t *testing.T, change func(*Options)) (*play.Stage, *Server) {
	t.Helper()
	stage := play.NewStage(t)
	o := Options{Paths: []string{"/mqtt"}, Upstreams: []*url.URL{{Scheme: "tcp", Host: "broker.test:1883"}}, Dial: stage.DialBroker,
		Settings: session.Settings{TokenSources: []edge.TokenSource{{Kind: edge.TokenPassword}}, Verifier: play.Names{Begin: time.Now()},
			Policy: stage.Policy, Audit: stage.Audit, Metrics: NewMetrics()}}
	if change != nil {
		change(&o)
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	stage.Run(server.Serve, server.Close)
	return stage, server
}

func TestRefusedOriginsAreToldBoundedAndOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &play.Buffer{}
		_, server := newServer(t, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
		ask := func(origin string) {
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, upgradeRequest("Origin", origin, "Sec-WebSocket-Protocol", "mqtt"))
			if w.Code != http.StatusForbidden {
				t.Errorf("a request of origin %.40q is answered %d; want 403", origin, w.Code)
			}
		}
		told := func() int { return strings.Count(log.String(), "origin refused") }
		for range 10 {
			ask("https://app.example.com")
		}
		if text := log.String(); told() != 1 || !strings.Contains(text, `"level":"WARN"`) || !strings.Contains(text, `"origin":"https://app.example.com"`) ||
			!strings.Contains(text, "TOPICGATE_ALLOWED_ORIGINS") {
			t.Errorf("ten requests of one origin log %s; want one warning that names the setting", text)
		}
		time.Sleep(originLogInterval)
		ask("https://app.example.com")
		if told() != 2 {
			t.Errorf("%d lines after a minute; want 2", told())
		}
		ask("https://\u009b31m" + strings.Repeat("x", 120_000) + "\u202e")
		ask("https://" + aToken + ".example")
		text := log.String()
		for line := range strings.Lines(text) {
			if len(line) > 1000 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		if told() != 4 || strings.ContainsAny(text, "\u009b\u202e") || strings.Contains(text, aToken) {
			t.Errorf("the log is not bounded, printable and without tokens: %.1000s", text)
		}
		for i := range 10 * maxLoggedOrigins {
			ask(fmt.Sprintf("https://%d.example", i))
		}
		if told() > 4+maxLoggedOrigins {
			t.Errorf("%d lines for origins that are made up; want at most %d", told(), maxLoggedOrigins)
		}
		time.Sleep(originLogInterval)
		ask("https://late.example")
		if !strings.Contains(log.String(), "late.example") {
			t.Error("a flood keeps the log silent for longer than a minute")
		}
	})
}

func TestSubprotocolsInSeveralLinesAreOneList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stage, _ := newServer(t, nil)
		for _, c := range []struct {
			lines []string
			want  string // empty: no upgrade
		}{
			{[]string{"soap", "mqtt"}, "mqtt"},
			{[]string{"soap, mqttv3.1", "xmpp,mqtt"}, "mqtt"},
			{[]string{"", "mqttv3.1"}, "mqttv3.1"},
			{[]string{"soap", "xmpp"}, ""},
		} {
			conn, err := stage.Listen.Dial()
			if err != nil {
				t.Fatal(err)
			}
			r := upgradeRequest("Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")
			r.Header["Sec-WebSocket-Protocol"] = c.lines
			go func() { _ = r.Write(conn) }()
			response, err := http.ReadResponse(bufio.NewReader(conn), r)
			if err != nil {
				t.Fatal(err)
			}
			status := http.StatusSwitchingProtocols
			if c.want == "" {
				status = http.StatusBadRequest
			}
			if got := response.Header.Get("Sec-WebSocket-Protocol"); got != c.want || response.StatusCode != status {
				t.Errorf("the lines %q are answered %s with %q; want %d with %q", c.lines, response.Status, got, status, c.want)
			}
			_ = conn.Close()
		}
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
)

const loopback = "127.0.0.1"

// programs are the paths of what the demo runs.
type programs struct {
	topicgate, mosquitto, redis string
}

// findPrograms looks for what was not given by a flag. The error names everything that is missing.
func findPrograms(given programs) (programs, error) {
	found := given
	var missing []error
	look := func(path *string, name, hint string, places ...string) {
		if *path != "" {
			return
		}
		for _, place := range places {
			if p, err := exec.LookPath(filepath.Join(place, name)); err == nil {
				*path = p
				return
			}
		}
		if p, err := exec.LookPath(name); err == nil {
			*path = p
			return
		}
		missing = append(missing, fmt.Errorf("%s is not here: %s", name, hint))
	}
	// Debian keeps mosquitto where only root's PATH leads.
	look(&found.mosquitto, "mosquitto", "apt-get install mosquitto", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
	look(&found.redis, "redis-server", "apt-get install redis-server")
	look(&found.topicgate, "topicgate", "go build -o . ./cmd/topicgate, beside topicgate-demo, or give --topicgate PATH", executableFolder())
	return found, errors.Join(missing...)
}

// executableFolder is where topicgate-demo itself lies.
func executableFolder() string {
	path, err := os.Executable()
	if err != nil {
		return "."
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return filepath.Dir(path)
}

// freePort is a port of the loopback interface that nobody listened on a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// startMosquitto runs a broker that keeps nothing and lets everybody in: the gateway is its only door.
func startMosquitto(path, port, dir string, log io.Writer) (*child, error) {
	conf := filepath.Join(dir, "mosquitto.conf")
	text := "listener " + port + " " + loopback + "\nallow_anonymous true\npersistence false\nlog_dest stderr\n"
	if os.Getuid() == 0 {
		// Else it would become another user, and who does that forgets whose death is to end it (prctl(2), PR_SET_PDEATHSIG).
		text += "user root\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return startChild("mosquitto", path, []string{"-c", conf}, os.Environ(), dir, log)
}

// startRedis runs a server that writes nothing to disk.
func startRedis(path, port, dir string, log io.Writer) (*child, error) {
	args := []string{"--port", port, "--bind", loopback, "--save", "", "--appendonly", "no", "--dir", dir}
	return startChild("redis", path, args, os.Environ(), dir, log)
}

// gatewaySettings is what the gateway has to know of the others.
type gatewaySettings struct {
	listen, admin   string // host:port
	broker, redis   string // host:port
	issuer, origin  string
	audience, level string
}

// startGateway runs `topicgate serve` with these settings and no others.
func startGateway(path string, s gatewaySettings, environ []string, dir string, log io.Writer) (*child, error) {
	env := append(withoutSettings(environ),
		"TOPICGATE_LISTEN="+s.listen,
		"TOPICGATE_ADMIN_LISTEN="+s.admin,
		"TOPICGATE_ALLOWED_ORIGINS="+s.origin,
		"TOPICGATE_OIDC_ISSUER="+s.issuer,
		"TOPICGATE_OIDC_AUDIENCE="+s.audience,
		"TOPICGATE_UPSTREAM_URLS=tcp://"+s.broker,
		"TOPICGATE_REDIS_URL=redis://"+s.redis+"/0",
		"TOPICGATE_DRAIN_TIMEOUT=1s",
		"TOPICGATE_LOG_FORMAT=text",
		"TOPICGATE_LOG_LEVEL="+s.level,
	)
	return startChild("topicgate", path, []string{"serve"}, env, dir, log)
}

// withoutSettings is environ without what would configure a gateway of the visitor's own.
func withoutSettings(environ []string) []string {
	kept := make([]string, 0, len(environ))
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "TOPICGATE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// answersTCP succeeds when something accepts connections at address.
func answersTCP(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answersPing succeeds when Redis does.
func answersPing(client *redis.Client) func(context.Context) error {
	return func(ctx context.Context) error { return client.Ping(ctx).Err() }
}

// answersHTTP succeeds when url is answered with 200.
func answersHTTP(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s: %s", url, response.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}

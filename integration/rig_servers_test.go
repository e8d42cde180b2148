package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mosquitto is a real broker.
type mosquitto struct {
	*process
	address string // of its plain TCP listener
	socket  string // of its Unix listener
	config  string
}

// startMosquitto runs a mosquitto that lets everybody do everything: what is refused, the gateway refused.
// extra lines of configuration follow the listener's.
func startMosquitto(t testing.TB, extra ...string) *mosquitto {
	t.Helper()
	path := program(t, "mosquitto")
	b := &mosquitto{address: loopback(freePort(t)), socket: filepath.Join(shortDir(t), "mqtt.sock"), config: filepath.Join(t.TempDir(), "mosquitto.conf")}
	port := b.address[strings.LastIndex(b.address, ":")+1:]
	lines := []string{
		"per_listener_settings false",
		"allow_anonymous true",
		"persistence false",
		"log_dest stderr",
		"log_type all",
		"connection_messages true",
		"max_queued_messages 100000",
		"sys_interval 1",
	}
	if os.Getuid() == 0 {
		lines = append(lines, "user root") // it would change to a user who may not read the test's directory
	}
	lines = append(lines, "listener "+port+" 127.0.0.1", "listener 0 "+b.socket)
	lines = append(lines, extra...)
	writeFile(t, b.config, strings.Join(lines, "\n")+"\n")
	b.process = start(t, "mosquitto", path, []string{"-c", b.config}, nil)
	awaitTCP(t, b.process, b.address)
	return b
}

// shortDir is a directory whose path leaves room for the name of a Unix socket; t.TempDir holds the test's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// restart starts the broker anew on its old address, after it was stopped or killed.
func (b *mosquitto) restart(t testing.TB) {
	t.Helper()
	b.process = start(t, "mosquitto (restarted)", program(t, "mosquitto"), []string{"-c", b.config}, nil)
	awaitTCP(t, b.process, b.address)
}

// redis is a real Redis server. Tests change it as back ends would: by redis-cli.
type redis struct {
	*process
	address string
	cli     string
	dir     string   // where it saves to, when it is told to
	extra   []string // arguments of the server
	cluster bool     // redis-cli follows redirections
}

// startRedis runs a Redis server; extra arguments follow the usual ones.
func startRedis(t testing.TB, extra ...string) *redis {
	t.Helper()
	path := program(t, "redis-server")
	r := &redis{address: loopback(freePort(t)), cli: program(t, "redis-cli"), dir: t.TempDir(), extra: extra}
	r.process = start(t, "redis-server", path, r.arguments(), nil)
	awaitTCP(t, r.process, r.address)
	return r
}

func (r *redis) arguments() []string {
	return append([]string{"--port", r.port(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir}, r.extra...)
}

func (r *redis) port() string { return r.address[strings.LastIndex(r.address, ":")+1:] }

// restart starts the server anew, empty, on its old address.
func (r *redis) restart(t testing.TB) {
	t.Helper()
	r.dir = t.TempDir()
	r.revive(t)
}

// revive starts the server anew with what it has saved.
func (r *redis) revive(t testing.TB) {
	t.Helper()
	r.process = start(t, "redis-server (restarted)", program(t, "redis-server"), r.arguments(), nil)
	awaitTCP(t, r.process, r.address)
}

// do runs one command through redis-cli and returns its raw answer.
func (r *redis) do(t testing.TB, command ...string) string {
	t.Helper()
	answer, err := r.try(command...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// try is do of what may fail for a while.
func (r *redis) try(command ...string) (answer string, err error) {
	args := []string{"-h", "127.0.0.1", "-p", r.port()}
	if r.cluster {
		args = append(args, "-c")
	}
	out, err := exec.Command(r.cli, append(args, command...)...).CombinedOutput()
	answer = strings.TrimSpace(string(out))
	failed := err != nil
	for _, word := range []string{"ERR", "WRONGTYPE", "READONLY", "CLUSTERDOWN", "NOGOODSLAVE", "INPROG"} { // a word each server error begins with
		failed = failed || strings.HasPrefix(answer, word)
	}
	if failed {
		return answer, fmt.Errorf("redis-cli %s: %v: %s", strings.Join(command, " "), err, answer)
	}
	return answer, nil
}

// url is the setting TOPICGATE_REDIS_URL.
func (r *redis) url() string { return fmt.Sprintf("redis://%s/0", r.address) }

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replaceFile changes a file as certificate managers do: the new one is renamed over the old.
func replaceFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		t.Fatalf("BUG: %s would not change", path)
	}
	temporary := path + ".new"
	writeFile(t, temporary, string(content))
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
}

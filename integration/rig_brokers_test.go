package integration

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	nats "github.com/nats-io/nats-server/v2/server"

	"topicgate/frames"
)

// brokerKind is one of the brokers that people run.
type brokerKind struct {
	name    string         // as in the table of deploy/README.md
	dialect string         // TOPICGATE_UPSTREAM_DIALECT
	version frames.Version // the best that it speaks
	prepare func(t testing.TB) *anyBroker
}

// anyBroker is a broker of some kind, which can be stopped and started again where it was.
type anyBroker struct {
	address  string
	settings settings                    // of the gateway before it
	launch   func(t testing.TB) *process // waits until it serves
	running  *process
}

func (b *anyBroker) start(t testing.TB) { b.running = b.launch(t) }

func (b *anyBroker) restart(t testing.TB) {
	t.Helper()
	b.running.stop(t)
	b.start(t)
}

var brokerKinds = []brokerKind{
	{"mosquitto", "mqtt", frames.V5, func(t testing.TB) *anyBroker {
		m := startMosquitto(t, "persistence true", "persistence_location "+t.TempDir()+"/")
		first := m.process
		return &anyBroker{address: m.address, launch: func(t testing.TB) *process {
			if first != nil {
				p := first
				first = nil
				return p
			}
			m.restart(t)
			return m.process
		}}
	}},
	{"mochi", "mqtt", frames.V5, func(t testing.TB) *anyBroker { return prepareOwn(t, "mochi") }},
	{"aedes", "mqtt", frames.V311, func(t testing.TB) *anyBroker {
		port := freePort(t)
		return &anyBroker{address: loopback(port), launch: func(t testing.TB) *process {
			s := startScript(t, "aedes.mjs", map[string]any{"port": port})
			s.said.await(t, `"ready":true`)
			return s.process
		}}
	}},
	{"RabbitMQ 3", "rabbitmq", frames.V311, prepareRabbitMQ},
	{"NATS", "nats", frames.V311, func(t testing.TB) *anyBroker { return prepareOwn(t, "nats") }},
}

// prepareRabbitMQ is a RabbitMQ with nothing but its MQTT plugin, and an Erlang port mapper of its own: one that it started
// itself would stay when it has ended.
func prepareRabbitMQ(t testing.TB) *anyBroker {
	const server = "/usr/lib/rabbitmq/bin/rabbitmq-server" // the one in the PATH becomes another user
	if !isExecutable(server) {
		missing(t, "rabbitmq-server", "apt-get install rabbitmq-server")
	}
	dir, port, mapper := t.TempDir(), freePort(t), strconv.Itoa(freePort(t))
	awaitTCP(t, start(t, "epmd", program(t, "epmd"), []string{"-address", "127.0.0.1", "-port", mapper}, nil), "127.0.0.1:"+mapper)
	writeFile(t, dir+"/enabled_plugins", "[rabbitmq_mqtt].\n")
	writeFile(t, dir+"/rabbitmq.conf", fmt.Sprintf("listeners.tcp = none\nmqtt.listeners.tcp.1 = %s\n", loopback(port)))
	env := []string{"HOME=" + dir, "ERL_EPMD_PORT=" + mapper, "RABBITMQ_NODENAME=topicgate" + strconv.Itoa(port) + "@localhost",
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(freePort(t)), "RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + dir + "/enabled_plugins", "RABBITMQ_CONFIG_FILE=" + dir + "/rabbitmq.conf",
		"RABBITMQ_ALLOW_INPUT=1", "RABBITMQ_SERVER_START_ARGS=-noinput"} // else it outlives the test
	return &anyBroker{address: loopback(port), settings: settings{"UPSTREAM_USERNAME": "guest", "UPSTREAM_PASSWORD": "guest"}, launch: func(t testing.TB) *process {
		p := start(t, "RabbitMQ", server, nil, env)
		for range 4 { // it takes its time
			if reaches(p, loopback(port)) {
				return p
			}
		}
		awaitTCP(t, p, loopback(port))
		return p
	}}
}

// reaches reports whether a process accepts connections within patience.
func reaches(p *process, address string) bool {
	for end := time.Now().Add(patience); p.running() && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

// ownBroker says to a test binary that it is a broker: its name, and where it listens and stores.
const ownBroker = "TEST_BROKER"

// prepareOwn is a broker that comes as a Go module: the test binary is started once more to be it.
func prepareOwn(t testing.TB, name string) *anyBroker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	env := []string{ownBroker + "=" + strings.Join([]string{name, strconv.Itoa(port), t.TempDir()}, ",")}
	return &anyBroker{address: loopback(port), launch: func(t testing.TB) *process {
		p := start(t, name, self, nil, env)
		awaitTCP(t, p, loopback(port))
		return p
	}}
}

// beBroker serves until SIGTERM, as what says.
func beBroker(what string) int {
	parts := strings.SplitN(what, ",", 3)
	serve := map[string]func(port int, dir string) (stop func(), err error){"mochi": serveMochi, "nats": serveNATS}[parts[0]]
	port, err := strconv.Atoi(parts[1])
	if err == nil {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		var stop func()
		if stop, err = serve(port, parts[2]); err == nil {
			<-ended
			stop()
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func serveMochi(port int, _ string) (stop func(), err error) {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return nil, err
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: loopback(port)})); err != nil {
		return nil, err
	}
	return func() { _ = s.Close() }, s.Serve()
}

func serveNATS(port int, dir string) (stop func(), err error) {
	s, err := nats.NewServer(&nats.Options{ServerName: "test", Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoSigs: true,
		MQTT: nats.MQTTOpts{Host: "127.0.0.1", Port: port}})
	if err != nil {
		return nil, err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, fmt.Errorf("NATS does not serve")
	}
	return func() { s.Shutdown(); s.WaitForShutdown() }, nil
}

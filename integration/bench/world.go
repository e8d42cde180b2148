//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// target is a way to the broker.
type target struct {
	name      string
	address   string
	websocket bool
	secure    bool  // TLS
	pids      []int // whose CPU time and memory it costs
	process   *process
}

// world is everything around the targets: broker, Redis, issuer.
type world struct {
	dir     string
	gateway string // its binary
	beside  string // another version's, to compare with; empty: none
	self    string // this one

	issuer    *issuer
	redis     redis.UniversalClient
	redisAt   string
	broker    *process
	brokerTCP string
	brokerWS  string
	processes []*process // in the order of their start
	targets   map[string]*target
}

// newWorld starts what all loads need. close stops it, also after an error.
func newWorld(ctx context.Context, dir, gateway, beside string) (w *world, err error) {
	w = &world{dir: dir, gateway: gateway, beside: beside, targets: map[string]*target{}}
	if w.self, err = os.Executable(); err != nil {
		return w, err
	}
	if w.issuer, err = startIssuer(); err != nil {
		return w, err
	}
	if err := w.startRedis(ctx); err != nil {
		return w, err
	}
	return w, w.startBroker(ctx)
}

func (w *world) close() {
	for _, p := range slices.Backward(w.processes) {
		p.stop()
	}
	if w.redis != nil {
		_ = w.redis.Close()
	}
	if w.issuer != nil {
		w.issuer.close()
	}
}

// start runs a program until the world ends.
func (w *world) start(name, path string, args, env []string) (*process, error) {
	p, err := start(w.dir, name, path, args, env)
	if err == nil {
		w.processes = append(w.processes, p)
	}
	return p, err
}

func (w *world) startRedis(ctx context.Context) (err error) {
	path, err := program("redis-server")
	if err != nil {
		return err
	}
	if w.redisAt, err = freeAddress(); err != nil {
		return err
	}
	p, err := w.start("redis", path, []string{"--port", port(w.redisAt), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", w.dir}, nil)
	if err != nil {
		return err
	}
	w.redis = redis.NewClient(&redis.Options{Addr: w.redisAt})
	return p.await(ctx, func() bool { return w.redis.Ping(ctx).Err() == nil })
}

// startBroker runs a mosquitto that sets no limits of its own: publishers' windows do.
func (w *world) startBroker(ctx context.Context) (err error) {
	path, err := program("mosquitto")
	if err != nil {
		return err
	}
	if w.brokerTCP, err = freeAddress(); err != nil {
		return err
	}
	if w.brokerWS, err = freeAddress(); err != nil {
		return err
	}
	lines := []string{
		"per_listener_settings false", "allow_anonymous true", "persistence false", "log_dest none", "connection_messages false",
		"max_inflight_messages 0", "max_queued_messages 0", "set_tcp_nodelay true", "sys_interval 0",
		"listener " + port(w.brokerTCP) + " 127.0.0.1", "listener 0 " + w.brokerUnix(),
		"listener " + port(w.brokerWS) + " 127.0.0.1", "protocol websockets",
	}
	if os.Getuid() == 0 {
		lines = append(lines, "user root") // it would become a user who may not read our directory
	}
	config := filepath.Join(w.dir, "mosquitto.conf")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if w.broker, err = w.start("mosquitto", path, []string{"-c", config}, nil); err != nil {
		return err
	}
	return w.broker.await(ctx, func() bool { return listening(w.brokerTCP) && listening(w.brokerWS) })
}

// brokerUnix is the path of the broker's Unix socket.
func (w *world) brokerUnix() string { return filepath.Join(w.dir, "mosquitto.sock") }

// target returns a way to the broker, started when it is asked for first.
func (w *world) target(ctx context.Context, name string) (*target, error) {
	if t := w.targets[name]; t != nil {
		return t, nil
	}
	t, err := w.newTarget(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	t.name = name
	w.targets[name] = t
	return t, nil
}

func (w *world) newTarget(ctx context.Context, name string) (*target, error) {
	switch name {
	case "tcp":
		return &target{address: w.brokerTCP}, nil
	case "listener":
		return &target{address: w.brokerWS, websocket: true, pids: []int{w.broker.pid()}}, nil
	case "pipe":
		return w.startPipe(ctx)
	case "nginx":
		return w.startNginx(ctx)
	case "topicgate":
		return w.startGateway(ctx, name, w.gateway, chatPolicy, nil)
	case "beside":
		return w.startGateway(ctx, name, w.beside, chatPolicy, nil)
	case "open":
		return w.startGateway(ctx, name, w.gateway, openPolicy, nil)
	case "topicgate-unix":
		return w.startGateway(ctx, name, w.gateway, chatPolicy, map[string]string{"UPSTREAM_URLS": "unix://" + w.brokerUnix()})
	case "topicgate-tls":
		certificate, err := w.certificate()
		if err != nil {
			return nil, err
		}
		return w.startGateway(ctx, name, w.gateway, chatPolicy, certificate)
	}
	return nil, errors.New("unknown")
}

// stopTarget ends a target; the next who asks for it gets a fresh one.
func (w *world) stopTarget(t *target) {
	t.process.stop()
	w.processes = slices.DeleteFunc(w.processes, func(p *process) bool { return p == t.process })
	delete(w.targets, t.name)
}

func (w *world) startPipe(ctx context.Context) (*target, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := w.start("pipe", w.self, []string{"pipe", address, w.brokerTCP}, nil)
	if err != nil {
		return nil, err
	}
	return &target{address: address, websocket: true, process: p, pids: []int{p.pid()}}, p.await(ctx, func() bool { return listening(address) })
}

func (w *world) startNginx(ctx context.Context) (*target, error) {
	path, err := program("nginx")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(w.dir, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, w.dir, address, w.brokerWS)
	if os.Getuid() == 0 {
		text = "user root;\n" + text // the workers' temporary files are in our directory
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := w.start("nginx", path, []string{"-c", config, "-e", filepath.Join(w.dir, "nginx.err")}, nil)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, func() bool { return listening(address) }); err != nil {
		return nil, err
	}
	pids, err := family(p.pid())
	return &target{address: address, websocket: true, process: p, pids: pids}, err
}

const nginxConfig = `daemon off;
worker_processes auto;
worker_rlimit_nofile 20000;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 10000; }
http {
	access_log off;
	client_body_temp_path %[1]s/nginx.body;
	proxy_temp_path %[1]s/nginx.proxy;
	fastcgi_temp_path %[1]s/nginx.fastcgi;
	uwsgi_temp_path %[1]s/nginx.uwsgi;
	scgi_temp_path %[1]s/nginx.scgi;
	server {
		listen %[2]s backlog=4096;
		location /mqtt {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
			proxy_read_timeout 1h;
			proxy_send_timeout 1h;
		}
	}
}
`

// startGateway runs a gateway's binary under a name of its own with a policy file, as operators do; settings are TOPICGATE_ variables and may replace what is usual.
func (w *world) startGateway(ctx context.Context, name, binary, policy string, settings map[string]string) (*target, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.dir, name+".acl")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		return nil, err
	}
	env := []string{
		"TOPICGATE_LISTEN=" + address, "TOPICGATE_ADMIN_LISTEN=" + admin,
		"TOPICGATE_OIDC_ISSUER=" + w.issuer.url, "TOPICGATE_OIDC_AUDIENCE=" + audience,
		"TOPICGATE_UPSTREAM_URLS=tcp://" + w.brokerTCP, "TOPICGATE_REDIS_URL=redis://" + w.redisAt + "/0",
		"TOPICGATE_POLICY_FILE=" + file, "TOPICGATE_AUDIT=stdout,redis", "TOPICGATE_DRAIN_TIMEOUT=1s",
	}
	for variable, value := range settings {
		env = append(env, "TOPICGATE_"+variable+"="+value)
	}
	p, err := w.start(name, binary, []string{"serve"}, env)
	if err != nil {
		return nil, err
	}
	t := &target{address: address, websocket: true, secure: settings["TLS_CERT_FILE"] != "", process: p, pids: []int{p.pid()}}
	return t, p.await(ctx, func() bool { return answers("http://" + admin + "/readyz") })
}

// enroll gives users their rooms in Redis: room(n, 0) to room(n, roomsOfUser-1), or those named.
func (w *world) enroll(ctx context.Context, users []user, first int, rooms ...string) error {
	pipeline := w.redis.Pipeline()
	for k, u := range users {
		members := make([]any, 0, roomsOfUser)
		for i := range roomsOfUser - len(rooms) {
			members = append(members, room(first+k, i))
		}
		for _, r := range rooms {
			members = append(members, r)
		}
		pipeline.SAdd(ctx, roomsKey(u.name), members...)
		if pipeline.Len() >= 1000 {
			if _, err := pipeline.Exec(ctx); err != nil {
				return err
			}
		}
	}
	_, err := pipeline.Exec(ctx)
	return err
}

func roomsKey(username string) string { return "topicgate:user:" + username + ":rooms" }

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	clientID = "topicgate-demo-page"
	audience = "topicgate"
)

// accounts are the users of the demo. admin's rights come from two places: chat.acl knows the name,
// and the role.
var accounts = []account{
	{Name: "alice", About: "in the lobby and the garden", Roles: []string{"user"}},
	{Name: "bob", About: "in the lobby and the studio", Roles: []string{"user"}},
	{Name: "admin", About: "reads everything, moderates every room", Roles: []string{"user", "moderator"}},
}

// demo is everything that runs. Its fields are filled by start, in order.
type demo struct {
	flags   flags
	environ []string
	log     io.Writer // nil: quiet

	folder                 string  // throw-away
	children               []*kept // in the order of their start
	keepers                sync.WaitGroup
	closers                []io.Closer
	fail                   context.CancelCauseFunc // ends everything; the first cause counts
	redis                  *redis.Client
	page, issuer           string // origins
	gateway, admin, broker string // host:port
}

// start brings everything up and returns once it answers.
func (d *demo) start(ctx context.Context) (err error) {
	if d.folder, err = os.MkdirTemp("", "topicgate-demo-"); err != nil {
		return err
	}
	redisAddress, err := address(d.flags.redis)
	if err != nil {
		return err
	}
	for _, a := range []struct {
		to   *string
		port string
	}{{&d.broker, d.flags.broker}, {&d.gateway, d.flags.gateway}, {&d.admin, anyPort}} {
		if *a.to, err = address(a.port); err != nil {
			return err
		}
	}
	pages, err := d.listen(d.flags.page)
	if err != nil {
		return err
	}
	logins, err := d.listen(d.flags.oidc)
	if err != nil {
		return err
	}
	d.page, d.issuer = "http://"+pages.Addr().String(), "http://"+logins.Addr().String()
	p, err := newProvider(d.issuer, d.page, d.flags.tokenLifetime)
	if err != nil {
		return err
	}
	d.redis = redis.NewClient(&redis.Options{Addr: redisAddress,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	d.closers = append(d.closers, d.redis)
	b := &backend{origin: d.page, issuer: d.issuer, clientID: clientID, gateway: "ws://" + d.gateway + "/mqtt",
		mqttJS: d.flags.mqttJS, accounts: accounts, redis: d.redis}

	broker := &kept{probe: answersTCP(d.broker), begin: func() (*child, error) {
		return startMosquitto(d.flags.programs.mosquitto, port(d.broker), d.folder, d.log)
	}}
	store := &kept{probe: answersPing(d.redis), after: b.seed, begin: func() (*child, error) {
		return startRedis(d.flags.programs.redis, port(redisAddress), d.folder, d.log)
	}}
	gateway := &kept{probe: answersHTTP("http://" + d.admin + "/readyz"), begin: func() (*child, error) {
		return startGateway(d.flags.programs.topicgate, gatewaySettings{
			listen: d.gateway, admin: d.admin, broker: d.broker, redis: redisAddress,
			issuer: d.issuer, origin: d.page, audience: audience, level: "info",
		}, d.environ, d.folder, d.log)
	}}
	b.trouble = map[string]func(){"broker": broker.kill, "redis": store.kill, "gateway": gateway.kill}
	d.serve(pages, b.handler())
	d.serve(logins, onlyHost(d.issuer, p.handler()))
	for _, k := range []*kept{broker, store, gateway} {
		if err := d.keep(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// listen takes a port until stop.
func (d *demo) listen(wanted string) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, wanted))
	if err == nil {
		d.closers = append(d.closers, l)
	}
	return l, err
}

// address is a loopback address with the wanted port, or a free one.
func address(wanted string) (string, error) {
	if wanted != anyPort {
		return net.JoinHostPort(loopback, wanted), nil
	}
	free, err := freePort()
	return net.JoinHostPort(loopback, free), err
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// serve answers HTTP on l until stop.
func (d *demo) serve(l net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	d.closers = append(d.closers, server)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.fail(err)
		}
	}()
}

// keep starts a child and has it started again whenever it ends, until the demo does.
func (d *demo) keep(ctx context.Context, k *kept) error {
	d.children = append(d.children, k)
	if err := k.start(ctx); err != nil {
		return err
	}
	d.keepers.Go(func() { d.fail(k.keep(ctx)) }) // of no effect once the demo is being stopped
	return nil
}

// explain says where everything is and what to try.
func (d *demo) explain(w io.Writer) {
	cli := "redis-cli -p " + port(d.redis.Options().Addr)
	fmt.Fprintf(w, `topicgate-demo is up. Open

    %s/

and sign in as alice; in a second tab, as bob. While they talk, be their back end, in the page's own
panel or here; what you change takes effect on the live connections at once:

    %s SADD topicgate:user:bob:rooms garden     # bob may enter the garden
    %s SREM topicgate:user:bob:rooms lobby      # bob falls silent in the lobby
    %s SADD topicgate:blocked bob               # bob is thrown out,
    %s SREM topicgate:blocked bob               # and may come back
    %s XREVRANGE topicgate:audit + - COUNT 5    # what was refused

gateway    ws://%s/mqtt, metrics at http://%s/metrics
mosquitto  tcp://%s
provider   %s/.well-known/openid-configuration

Ctrl-C takes everything down.
`, d.page, cli, cli, cli, cli, cli, d.gateway, d.admin, d.broker, d.issuer)
}

var errStopped = errors.New("the demo is stopped")

// stop ends everything, the last that was started first.
func (d *demo) stop() {
	d.fail(errStopped)
	d.keepers.Wait() // nobody starts anything any more
	for _, k := range slices.Backward(d.children) {
		if c := k.child(); c != nil {
			c.stop(stopTimeout)
		}
	}
	for _, closer := range slices.Backward(d.closers) {
		closer.Close() // a listener that its server has closed already says so: no matter
	}
	if d.folder != "" {
		os.RemoveAll(d.folder)
	}
}

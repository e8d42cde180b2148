package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
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

	folder                 string   // throw-away
	children               []*child // in the order of their start
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
	d.serve(pages, b.handler())
	d.serve(logins, onlyHost(d.issuer, p.handler()))

	broker, err := d.keep(startMosquitto(d.flags.programs.mosquitto, port(d.broker), d.folder, d.log))
	if err != nil {
		return err
	}
	store, err := d.keep(startRedis(d.flags.programs.redis, port(redisAddress), d.folder, d.log))
	if err != nil {
		return err
	}
	if err := cmp.Or(broker.ready(ctx, answersTCP(d.broker)), store.ready(ctx, answersPing(d.redis))); err != nil {
		return err
	}
	if err := b.seed(ctx); err != nil {
		return err
	}
	gateway, err := d.keep(startGateway(d.flags.programs.topicgate, gatewaySettings{
		listen: d.gateway, admin: d.admin, broker: d.broker, redis: redisAddress,
		issuer: d.issuer, origin: d.page, audience: audience, level: "info",
	}, d.environ, d.folder, d.log))
	if err != nil {
		return err
	}
	return gateway.ready(ctx, answersHTTP("http://"+d.admin+"/readyz"))
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

// keep makes a child that was just started the demo's own.
func (d *demo) keep(c *child, err error) (*child, error) {
	if err != nil {
		return nil, err
	}
	d.children = append(d.children, c)
	go func() {
		<-c.ended
		d.fail(c.earlyEnd()) // of no effect once the demo is being stopped
	}()
	return c, nil
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

// stop ends everything, the last that was started first.
func (d *demo) stop() {
	for _, c := range slices.Backward(d.children) {
		c.stop(stopTimeout)
	}
	for _, closer := range slices.Backward(d.closers) {
		closer.Close() // a listener that its server has closed already says so: no matter
	}
	if d.folder != "" {
		os.RemoveAll(d.folder)
	}
}

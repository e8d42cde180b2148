package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"topicgate/auth"
	"topicgate/config"
	"topicgate/gateway"
	"topicgate/gateway/audit"
	"topicgate/gateway/dialect"
	"topicgate/gateway/edge"
	"topicgate/gateway/metrics"
	"topicgate/gateway/session"
	"topicgate/policy/store"
)

// adminTimeout bounds a request to the admin listener.
const adminTimeout = 10 * time.Second

// process is a gateway with all that it is made of.
type process struct {
	instance string
	log      *slog.Logger
	verifier *auth.Verifier
	store    *store.Store
	audit    *audit.Log
	metrics  *metrics.Metrics
	server   *gateway.Server
	certs    *edge.CertReloader // nil: no TLS

	auditFiles     []*audit.FileSink
	upstreamTLS    *tls.Config
	reloadUpstream func() error
	drainTimeout   time.Duration

	public, admin net.Listener
	adminHosts    []string
	certificates  bool // identify clients too, without any issuer
}

// newProcess makes the parts. None of them is running yet.
func newProcess(c config.Config, log *slog.Logger, stdout io.Writer) (*process, error) {
	p := &process{instance: newInstance(), log: log, drainTimeout: c.DrainTimeout, adminHosts: adminHosts(c), certificates: c.TLSClientCAFile != ""}
	p.metrics = gateway.NewMetrics()
	options, err := verifierOptions(c)
	if err != nil {
		return nil, err
	}
	options.Logger, options.Observe = log, p.metrics.TokenVerified
	if p.verifier, err = auth.NewVerifier(options); err != nil {
		return nil, err
	}
	p.store, err = store.New(storeOptions(c, p.instance, log, p.metrics.PolicyEvent))
	if err != nil {
		return nil, err
	}
	p.metrics.WatchPolicy(p.store.OldestChange)
	if p.upstreamTLS, p.reloadUpstream, err = upstreamTLS(c); err != nil {
		return nil, err
	}
	p.audit = newAuditLog(c, p, stdout)
	gatewayOptions, err := p.gatewayOptions(c)
	if err != nil {
		return nil, err
	}
	p.server, err = gateway.New(gatewayOptions)
	return p, err
}

// adminHosts are those under which the admin listener may be asked for everything.
func adminHosts(c config.Config) []string {
	host, _, _ := net.SplitHostPort(c.AdminListen) // checked; empty: all addresses, of which none is named
	return append([]string{host}, c.AdminHosts...)
}

func (p *process) gatewayOptions(c config.Config) (gateway.Options, error) {
	o := gateway.Options{
		Paths:                 c.WSPaths,
		AllowedOrigins:        c.AllowedOrigins,
		TrustedProxies:        edge.TrustedProxies(c.TrustedProxies),
		UpstreamProxyProtocol: c.UpstreamProxyProtocol == config.ProxyProtocolV2,
		MaxConnections:        c.MaxConnections,
		MaxConnectionsPerUser: c.MaxConnectionsPerUser,
		MaxSleepingPerUser:    c.MaxSleepingPerUser,
		DrainTimeout:          c.DrainTimeout,
		RedisPrefix:           c.RedisPrefix,
		Settings: session.Settings{
			CertificatePrefix: c.TLSClientPrefix,
			ClientIDTemplate:  c.ClientID,
			UserProperty:      c.UserProperty,
			UpstreamUsername:  c.UpstreamUsername,
			UpstreamPassword:  c.UpstreamPassword.Reveal(),

			SubscribeMode: session.SubscribeMode(c.SubscribeMode),
			NarrowMax:     c.NarrowMax,
			DenyPublish:   session.DenyPublish(c.DenyPublish),
			Unavailable:   session.Unavailable(c.Unavailable),
			AuditAllowed:  c.AuditAllowed,

			MaxPacketBytes:   int(c.MaxPacketSize),
			MaxSubscriptions: c.MaxSubscriptions,
			PublishRate:      c.PublishRate,
			PublishBurst:     c.PublishBurst,

			ConnectTimeout: c.ConnectTimeout,
			WriteTimeout:   c.WriteTimeout,

			Instance: p.instance,
			Verifier: p.verifier,
			Policy:   p.store,
			Audit:    p.audit,
			Metrics:  p.metrics,
			Logger:   p.log,
		},
	}
	for _, s := range c.TokenSources {
		o.TokenSources = append(o.TokenSources, edge.TokenSource{Kind: edge.TokenKind(s.Kind), Name: s.Name})
	}
	o.Upstreams, o.UpstreamTLS = upstreamURLs(c), p.upstreamTLS
	var err error
	if o.Dialect, err = dialect.Parse(string(c.UpstreamDialect)); err != nil {
		return o, err
	}
	if c.TLSCertFile != "" {
		if p.certs, err = edge.NewCertReloader(certFiles(c), p.log); err != nil {
			return o, err
		}
		o.TLS = p.certs.TLSConfig()
	}
	return o, nil
}

func upstreamURLs(c config.Config) []*url.URL {
	var list []*url.URL
	for _, u := range c.UpstreamURLs {
		list = append(list, &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path})
	}
	return list
}

// newInstance names this process among others: a host's name alone would be the same after a
// restart, and for two gateways on one host.
func newInstance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "topicgate"
	}
	return host + "-" + rand.Text()[:6]
}

// listen opens both listeners, so that an address that is taken is known before anything runs.
func (p *process) listen(c config.Config) error {
	var err error
	if p.public, err = net.Listen("tcp", c.Listen); err != nil {
		return fmt.Errorf("%sLISTEN: %w", config.Prefix, err)
	}
	if p.admin, err = net.Listen("tcp", c.AdminListen); err != nil {
		p.public.Close()
		return fmt.Errorf("%sADMIN_LISTEN: %w", config.Prefix, err)
	}
	return nil
}

// close ends a process that never ran.
func (p *process) close() error {
	p.server.Close()
	return p.store.Close()
}

// run returns when ctx has ended, a signal came or a part failed, and everything is down.
func (p *process) run(ctx context.Context, signals <-chan os.Signal) error {
	parts := newParts()
	if p.audit != nil {
		parts.start("audit", p.audit.Run) // the last to stop: it hears how the others end
	}
	parts.start("memory", newTidier().run)
	parts.start("policy", p.store.Run)
	parts.start("tokens", p.verifier.Run)
	parts.start("admin listener", p.serveAdmin) // up until the last session is gone: /readyz says 503 meanwhile
	parts.start("listener", func(ctx context.Context) error { return p.server.Serve(ctx, p.public) })

	err := p.wait(ctx, parts.failed, signals)
	p.drain(ctx)
	parts.stop()
	return errors.Join(err, p.store.Close())
}

// wait returns nil when the process is to end, and an error when it must.
func (p *process) wait(ctx context.Context, failed <-chan error, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case s := <-signals:
			if s != syscall.SIGHUP {
				p.log.Info("signal", "signal", s.String())
				return nil
			}
			p.reload()
		}
	}
}

// drain ends all sessions; a signal meanwhile, at once.
func (p *process) drain(ctx context.Context) {
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p.server.Drain(ctx)
}

// reload reads again what SIGHUP is for. What can't be used leaves the last good one in force.
func (p *process) reload() {
	p.log.Info("rereading certificates and policy file")
	for _, file := range p.auditFiles {
		file.Reopen()
	}
	errs := []error{p.store.Reload(), p.reloadUpstream()}
	if p.certs != nil {
		errs = append(errs, p.certs.Reload())
	}
	for _, err := range errs {
		if err != nil {
			p.log.Error("not reread, the last good one stays", "err", err.Error())
		}
	}
}

func (p *process) serveAdmin(ctx context.Context) error {
	server := &http.Server{
		Handler:           metrics.AdminHandler(p.metrics, p.adminHosts, p.ready, func() any { return p.server.Sessions() }),
		ReadHeaderTimeout: adminTimeout,
		ReadTimeout:       adminTimeout,
		WriteTimeout:      adminTimeout,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	return server.Serve(p.admin)
}

// ready is for /readyz: could anybody connect now? It tries what a CONNECT needs: Redis by the commands that a session
// uses, the keys of an issuer, a broker. One issuer or one broker of several that is away is shown, but keeps nobody out
// who does not need it.
func (p *process) ready() (bool, map[string]string) {
	status := p.store.Status()
	detail := make(map[string]string, len(status.Detail)+3)
	for part, text := range status.Detail {
		detail[part] = text
	}
	for issuer, text := range p.verifier.Status() {
		detail["issuer "+issuer] = text
	}
	reached := false
	for address, err := range p.server.Brokers(context.Background()) {
		reached = reached || err == nil
		detail["broker "+address] = "ok"
		if err != nil {
			detail["broker "+address] = err.Error()
		}
	}
	if p.server.Draining() {
		detail["gateway"] = "draining"
	}
	identified := p.verifier.Ready() || p.certificates
	return status.Ready && identified && reached && !p.server.Draining(), detail
}

package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// No command waits for Redis for longer than these: a hung server counts as one
// that is away.
const (
	redisDialTimeout = time.Second
	redisReadTimeout = 2 * time.Second
)

// ParseRedisURL reads TOPICGATE_REDIS_URL:
//
//	redis://[user:password@]host[:port][/db]   one server; rediss:// with TLS
//	redis://host:port,host:port                Cluster; each item may repeat the scheme
//	redis://host:port?cluster=true             Cluster behind one address
//	redis-sentinel://[user:password@]host:port,host:port[/db]#master
//
// Sentinels with a password of their own take ?sentinel_username= and
// ?sentinel_password=; rediss-sentinel:// uses TLS towards both. An error never
// quotes the URL, which may hold a password.
func ParseRedisURL(rawURL string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, errors.New("redis URL: want redis://, rediss:// or redis-sentinel://")
	}
	o := &redis.UniversalOptions{}
	sentinel := false
	switch scheme {
	case "redis":
	case "rediss":
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	case "redis-sentinel":
		sentinel = true
	case "rediss-sentinel":
		sentinel = true
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return nil, fmt.Errorf("redis URL: unknown scheme %q; want redis, rediss or redis-sentinel", scheme)
	}
	hosts, tail := strings.ReplaceAll(rest, ","+scheme+"://", ","), ""
	if strings.Contains(hosts, "://") {
		return nil, errors.New("redis URL: all items of the list must have the same scheme")
	}
	if i := strings.IndexAny(hosts, "/?#"); i >= 0 {
		hosts, tail = hosts[:i], hosts[i:]
	}
	for i, item := range strings.Split(hosts, ",") {
		u, err := url.Parse(scheme + "://" + strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("redis URL: item %d is not [user:password@]host[:port]; only the last may be followed by /db", i+1)
		}
		addr, err := redisAddr(u, sentinel)
		if err != nil {
			return nil, fmt.Errorf("redis URL: item %d: %w", i+1, err)
		}
		o.Addrs = append(o.Addrs, addr)
		if u.User == nil {
			continue
		}
		password, _ := u.User.Password()
		if o.Username+o.Password != "" && (o.Username != u.User.Username() || o.Password != password) {
			return nil, errors.New("redis URL: all items of the list must have the same user and password")
		}
		o.Username, o.Password = u.User.Username(), password
	}
	if err := redisTail(o, tail, sentinel); err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	return o, nil
}

func redisAddr(u *url.URL, sentinel bool) (string, error) {
	host, port := u.Hostname(), u.Port()
	if host == "" {
		return "", errors.New("no host")
	}
	if port == "" {
		port = "6379"
		if sentinel {
			port = "26379"
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("port %q is not 1 to 65535", port)
	}
	return net.JoinHostPort(host, port), nil
}

// redisTail reads what follows the hosts: /db?query#master.
func redisTail(o *redis.UniversalOptions, tail string, sentinel bool) error {
	u, err := url.Parse(tail)
	if err != nil {
		return errors.New("what follows the hosts is not /db?name=value#master")
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil || o.DB < 0 {
			return errors.New("what follows the last host is not /number; only the last item may be followed by it")
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("the query is not name=value")
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case name == "cluster" && !sentinel:
			if o.IsClusterMode, err = strconv.ParseBool(value); err != nil {
				return fmt.Errorf("cluster=%q is not true or false", value)
			}
		case name == "sentinel_username" && sentinel:
			o.SentinelUsername = value
		case name == "sentinel_password" && sentinel:
			o.SentinelPassword = value
		default:
			return fmt.Errorf("unknown parameter %q", name)
		}
	}
	o.MasterName = u.Fragment
	switch {
	case sentinel && o.MasterName == "":
		return errors.New("the Sentinel form ends in #name-of-the-master")
	case !sentinel && o.MasterName != "":
		return errors.New("#master belongs to redis-sentinel:// only")
	}
	if !sentinel && len(o.Addrs) > 1 {
		o.IsClusterMode = true
	}
	if o.IsClusterMode && o.DB != 0 {
		return errors.New("a Cluster has database 0 only")
	}
	return nil
}

// limitClient gives o the limits that all our connections have.
func limitClient(o *redis.UniversalOptions) {
	o.Protocol = 3 // invalidations are RESP3 push messages
	o.DialTimeout = redisDialTimeout
	o.DialerRetries = 1
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisReadTimeout, redisReadTimeout, redisReadTimeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = 1 // after a restart the pool may still hold a dead connection
	o.PoolSize = 2 * maxReads
	o.PipelinePoolSize = -1 // pipelines are all that we do
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// maxReply bounds the bytes of the replies to what is sent in one go: a few long members cost no more than many
// short ones.
const maxReply = 2 * maxBytes

var errReplyTooLong = errors.New("the reply is too long")

// boundedClient makes a client whose connections fail when a reply is too long.
func boundedClient(o *redis.UniversalOptions, connections int) redis.UniversalClient {
	own := *o
	own.PoolSize = connections
	dial := redis.NewDialer(own.Simple())
	own.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		bounded := &boundedConn{Conn: conn}
		if raw, ok := conn.(syscall.Conn); ok {
			return struct {
				*boundedConn
				syscall.Conn
			}{bounded, raw}, nil // go-redis looks there whether the server has closed it
		}
		return bounded, nil
	}
	return redis.NewUniversalClient(&own)
}

// boundedConn is used by one goroutine at a time.
type boundedConn struct {
	net.Conn
	read int // since the last Write
}

func (c *boundedConn) Write(p []byte) (int, error) {
	c.read = 0
	return c.Conn.Write(p)
}

func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read += n; c.read > maxReply {
		return 0, errReplyTooLong
	}
	return n, err
}

// watchClient makes the client whose only connection listens for invalidations:
// of one server (addr, for Cluster), or wherever o leads.
func watchClient(o *redis.UniversalOptions, addr string, tracking []any) *redis.Client {
	own := *o
	own.PoolSize, own.MinIdleConns, own.MaxRetries = 1, 0, -1
	own.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
		// Runs for connections to Sentinels too, where it does no harm.
		return cn.Process(ctx, redis.NewStatusCmd(ctx, tracking...))
	}
	if own.MasterName != "" {
		return redis.NewFailoverClient(own.Failover())
	}
	if addr != "" {
		own.Addrs = []string{addr}
	}
	return redis.NewClient(own.Simple())
}

// clientLog passes on what go-redis itself logs.
type clientLog struct{ log *slog.Logger }

func (l clientLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis client", "detail", fmt.Sprintf(format, v...))
}

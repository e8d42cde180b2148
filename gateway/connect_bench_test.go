package gateway

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/edge"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/internal/redistest"
	"topicgate/gateway/session"
	"topicgate/policy/store"
)

// BenchmarkConnect is a whole connection over the loopback, from its first byte to its last: upgrade, CONNECT, policy
// from Redis, dial, CONNACK, DISCONNECT. Each has a user of its own. The token is not verified; see BenchmarkVerify in auth.
func BenchmarkConnect(b *testing.B) {
	address := newConnectBed(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := connectOnce(address, fmt.Sprint("user-", n)); err != nil {
			b.Fatal(err)
		}
	}
}

// newConnectBed runs a gateway with a policy store on Redis, and a broker that accepts everybody. It returns where the gateway listens.
func newConnectBed(b testing.TB) (address string) {
	redis := startRedis(b)
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	rules := filepath.Join(b.TempDir(), "rules.acl")
	if err := os.WriteFile(rules, []byte(play.ChatRules+"pattern readwrite chat/room/{rooms}/#\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	policies, err := store.New(store.Options{PolicyFile: rules, RedisURL: "redis://" + redis.Addr, Prefix: "topicgate:"})
	if err != nil {
		b.Fatal(err)
	}
	server, err := New(Options{
		Paths: []string{"/mqtt"}, RedisPrefix: "topicgate:", Upstreams: []*url.URL{{Scheme: "tcp", Host: broker.Addr().String()}},
		Settings: session.Settings{TokenSources: []edge.TokenSource{{Kind: edge.TokenPassword}}, Verifier: play.Names{}, Policy: policies, Metrics: NewMetrics()},
	})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = policies.Run(ctx) })
	running.Go(func() { _ = server.Serve(ctx, listener) })
	running.Go(func() { acceptAll(broker) })
	b.Cleanup(func() {
		server.Close()
		stop()
		broker.Close()
		running.Wait()
		policies.Close()
	})
	redistest.Eventually(b, "the policy store is ready", func() bool { return policies.Status().Ready })
	return listener.Addr().String()
}

// acceptAll is a broker that answers whatever comes first with a CONNACK and waits for the end.
func acceptAll(l net.Listener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer c.Close()
			var buffer [1024]byte
			if _, err := c.Read(buffer[:]); err != nil {
				return
			}
			_, _ = c.Write([]byte{0x20, 2, 0, 0})
			for {
				if _, err := c.Read(buffer[:]); err != nil {
					return
				}
			}
		})
	}
}

// connectOnce connects as user, says goodbye and waits for the end.
func connectOnce(address, user string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	var buffer [1024]byte
	upgrade := "GET /mqtt HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	if _, err := io.WriteString(c, upgrade); err != nil {
		return err
	}
	if _, err := c.Read(buffer[:]); err != nil { // 101, in one segment
		return err
	}
	connect := frames.Connect{Version: frames.V311, CleanStart: true, ClientID: "c", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}
	if _, err := c.Write(maskedFrame(connect.Append(nil, frames.V311))); err != nil {
		return err
	}
	n, err := io.ReadAtLeast(c, buffer[:], 6)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(buffer[2:]) != 0x20020000 || n != 6 {
		return fmt.Errorf("got % x; want CONNACK", buffer[:n])
	}
	if _, err := c.Write(maskedFrame([]byte{0xe0, 0})); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// maskedFrame is a client's binary message, masked with zeros (RFC 6455 section 5.2).
func maskedFrame(payload []byte) []byte {
	return append([]byte{0x82, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...) // shorter than 126 bytes
}

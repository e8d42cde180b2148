package audit

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const stream = "topicgate:audit"

// startRedis runs a redis-server of its own for the test and stops it in the end.
func startRedis(t testing.TB) (*redis.Client, *os.Process) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("TEST_SERVERS") == "required" {
			t.Fatal("redis-server is missing: apt-get install redis-server")
		}
		t.Skip("redis-server is missing: apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	var said bytes.Buffer
	server := exec.Command(binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(address.Port), "--save", "", "--dir", t.TempDir())
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{
		Addr: address.String(), ContextTimeoutEnabled: true, MaxRetries: -1, DialTimeout: time.Second,
	})
	t.Cleanup(func() {
		client.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("redis-server said:\n%s", &said)
		}
	})
	await(t, "redis-server answers", func() bool { return client.Ping(t.Context()).Err() == nil })
	return client, server.Process
}

// await looks until what is true, or fails after 20 s.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// topics are those in the stream, in its order.
func topics(t testing.TB, c *redis.Client) (names []string) {
	t.Helper()
	entries, err := c.XRange(t.Context(), stream, "-", "+").Result()
	if err != nil {
		t.Fatalf("XRANGE %s = %v", stream, err)
	}
	for _, entry := range entries {
		names = append(names, entry.Values["topic"].(string))
	}
	return names
}

func TestStreamHoldsFlatFields(t *testing.T) {
	client, _ := startRedis(t)
	if err := NewRedisSink(client, stream, 100).Write(t.Context(), []Event{exampleEvent()}); err != nil {
		t.Fatalf("Write() = %v", err)
	}
	entries, err := client.XRange(t.Context(), stream, "-", "+").Result()
	if err != nil || len(entries) != 1 {
		t.Fatalf("XRANGE = %v, %v; want one entry", entries, err)
	}
	want := map[string]any{
		"type": "audit", "time": "2026-11-21T08:00:00.007Z", "instance": "gw1", "session": "s1", "user": "alice",
		"issuer": "https://issuer.test", "client_id": "web-1", "remote": "198.51.100.7:4711", "action": "publish",
		"topic": "chat/messages/bob/alice", "qos": "1", "retain": "true", "bytes": "12", "decision": "refused",
		"reason": "not_authorized", "rule": "acl:3", "count": "2",
	}
	if got := entries[0].Values; !maps.Equal(got, want) {
		t.Errorf("entry = %v; want %v", got, want)
	}
}

func TestStreamIsTrimmed(t *testing.T) {
	client, _ := startRedis(t)
	for _, tt := range []struct {
		maxLen   int64
		min, max int64
	}{
		{200, 200, 300}, // trimmed by whole nodes of 100 entries
		{0, 1000, 1000},
	} {
		client.Del(t.Context(), stream)
		sink, batch := NewRedisSink(client, stream, tt.maxLen), slices.Repeat([]Event{exampleEvent()}, 250)
		for range 4 {
			if err := sink.Write(t.Context(), batch); err != nil {
				t.Fatalf("Write() = %v", err)
			}
		}
		if n := client.XLen(t.Context(), stream).Val(); n < tt.min || n > tt.max {
			t.Errorf("maxLen %d: %d entries of 1000 are left; want %d to %d", tt.maxLen, n, tt.min, tt.max)
		}
	}
}

func TestEventsWaitUntilTheStreamCanBeWritten(t *testing.T) {
	client, _ := startRedis(t)
	client.Set(t.Context(), stream, "no stream", 0)
	tried := make(chan struct{})
	sink := &toldSink{Sink: NewRedisSink(client, stream, 100), failed: sync.OnceFunc(func() { close(tried) })}
	drops := new(dropCount)
	l, end := start(t, Options{Sinks: map[string]Sink{"redis": sink}, QueueSize: 4, Dropped: drops.add})
	for _, name := range []string{"a", "b", "c"} {
		l.Record(topic(name))
	}
	<-tried
	client.Del(t.Context(), stream)
	if err := end(); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if got := topics(t, client); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("stream has %q; want a, b, c", got)
	}
	drops.want(t, nil)
}

// toldSink tells of failed writes.
type toldSink struct {
	Sink
	failed func()
}

func (s *toldSink) Write(ctx context.Context, events []Event) error {
	err := s.Sink.Write(ctx, events)
	if err != nil {
		s.failed()
	}
	return err
}

func TestFrozenRedisDelaysNoOtherSink(t *testing.T) {
	client, server := startRedis(t)
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	other := new(fakeSink)
	l, end := start(t, Options{Sinks: map[string]Sink{"redis": NewRedisSink(client, stream, 100), "other": other}, QueueSize: 2})
	for _, name := range []string{"a", "b", "c"} {
		l.Record(topic(name))
		await(t, "the other sink has "+name, func() bool {
			names, _ := other.summary()
			return slices.Contains(names, name)
		})
	}
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if got := topics(t, client); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("stream has %q; want a, b, c", got)
	}
}

// failingHook answers the first commands of a pipeline and fails the others.
type failingHook struct {
	redis.Hook
	answered int
}

func (h failingHook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, commands []redis.Cmder) error {
		for _, command := range commands[h.answered:] {
			command.SetErr(errLoading)
		}
		return errLoading
	}
}

func (failingHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (failingHook) DialHook(next redis.DialHook) redis.DialHook          { return next }

var errLoading = errors.New("LOADING Redis is loading the dataset in memory")

func TestOnlyWhatFailedIsWrittenAgain(t *testing.T) {
	for answered := range 3 {
		client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
		client.AddHook(failingHook{answered: answered})
		err := NewRedisSink(client, stream, 100).Write(t.Context(), []Event{topic("a"), topic("b"), topic("c")})
		partial, ok := errors.AsType[*WriteError](err)
		if !ok || partial.Written != answered || !errors.Is(err, errLoading) {
			t.Errorf("Write() = %v; want a *WriteError with %d written, for %v", err, answered, errLoading)
		}
		client.Close()
	}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	client.Close()
	err := NewRedisSink(client, stream, 100).Write(t.Context(), []Event{topic("a")})
	if partial, ok := errors.AsType[*WriteError](err); !ok || partial.Written != 0 {
		t.Errorf("Write() with a closed client = %v; want a *WriteError with nothing written", err)
	}
}

func BenchmarkRedisSink(b *testing.B) {
	client, _ := startRedis(b)
	sink, batch := NewRedisSink(client, stream, 10_000), slices.Repeat([]Event{exampleEvent()}, maxBatch)
	b.ReportAllocs()
	for b.Loop() {
		if err := sink.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/event")
}

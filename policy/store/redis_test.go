package store

import (
	"reflect"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestRedisURLs(t *testing.T) {
	for _, c := range []struct {
		url  string
		want redis.UniversalOptions // TLSConfig is compared below
		tls  bool
	}{
		{"redis://h", redis.UniversalOptions{Addrs: []string{"h:6379"}}, false},
		{"redis://127.0.0.1:6380/0", redis.UniversalOptions{Addrs: []string{"127.0.0.1:6380"}}, false},
		{"redis://:secret@h:1/3", redis.UniversalOptions{Addrs: []string{"h:1"}, Password: "secret", DB: 3}, false},
		{"rediss://u:p%40%2C%2F@[::1]:6380", redis.UniversalOptions{Addrs: []string{"[::1]:6380"}, Username: "u", Password: "p@,/"}, true},
		{"redis://a:1,b:2,c", redis.UniversalOptions{Addrs: []string{"a:1", "b:2", "c:6379"}, IsClusterMode: true}, false},
		{"redis://u:p@a:1,redis://b:2/", redis.UniversalOptions{Addrs: []string{"a:1", "b:2"}, Username: "u", Password: "p", IsClusterMode: true}, false},
		{"redis://a?cluster=true", redis.UniversalOptions{Addrs: []string{"a:6379"}, IsClusterMode: true}, false},
		{"redis-sentinel://h1:26379,h2:26380/2#mymaster", redis.UniversalOptions{Addrs: []string{"h1:26379", "h2:26380"}, DB: 2, MasterName: "mymaster"}, false},
		{"rediss-sentinel://u:p@h1,h2?sentinel_username=su&sentinel_password=sp#m", redis.UniversalOptions{
			Addrs: []string{"h1:26379", "h2:26379"}, Username: "u", Password: "p", SentinelUsername: "su", SentinelPassword: "sp", MasterName: "m"}, true},
	} {
		got, err := ParseRedisURL(c.url)
		if err != nil {
			t.Errorf("ParseRedisURL(%s) = %v", c.url, err)
			continue
		}
		if (got.TLSConfig != nil) != c.tls {
			t.Errorf("ParseRedisURL(%s): TLS = %v; want %v", c.url, got.TLSConfig != nil, c.tls)
		}
		got.TLSConfig = nil
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("ParseRedisURL(%s) = %+v; want %+v", c.url, *got, c.want)
		}
	}
}

func TestWrongRedisURLsAreExplainedWithoutThePassword(t *testing.T) {
	for url, want := range map[string]string{
		"":                                        "want redis://",
		"127.0.0.1:6379":                          "want redis://",
		"http://:hunter2@h":                       "unknown scheme",
		"redis://":                                "no host",
		"redis://:hunter2@":                       "no host",
		"redis://:hunter2@h:0":                    "port",
		"redis://:hunter2@h:x":                    "item 1",
		"redis://:hunter2@h/abc":                  "number",
		"redis://:hunter2@h/-1":                   "number",
		"redis://:hunter2@h%zz":                   "item 1",
		"redis://:hunter2@a,,b":                   "item 2: no host",
		"redis://:hunter2@a,rediss://b":           "same scheme",
		"redis://:hunter2@a,:other@b":             "same user",
		"redis://:hunter2@a,b/1":                  "database 0",
		"redis://:hunter2@a/0,b/0":                "number",
		"redis://:hunter2@h?cluster=maybe":        "true or false",
		"redis://:hunter2@h?db=1":                 "unknown parameter",
		"redis://:hunter2@h#m":                    "redis-sentinel://",
		"redis-sentinel://:hunter2@h":             "#name",
		"redis-sentinel://:hunter2@h?cluster=1#m": "unknown parameter",
	} {
		o, err := ParseRedisURL(url)
		if err == nil {
			t.Errorf("ParseRedisURL(%s) = %+v; want an error", url, o)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseRedisURL(%s) = %v; want one that says %q, without the password", url, err, want)
		}
	}
}

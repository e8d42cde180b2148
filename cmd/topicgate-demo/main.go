package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once; the children follow their parent
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// anyPort asks for any free port.
const anyPort = "0"

// flags is what the command line asked for.
type flags struct {
	programs                           programs
	page, oidc, gateway, broker, redis string // ports
	mqttJS                             string
	tokenLifetime                      time.Duration
	verbose                            bool
}

// run is the whole program. It returns its exit status: 0 ended by ctx, 1 failed, 2 wrong usage.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if err := f.complete(); err != nil {
		fmt.Fprintf(stderr, "topicgate-demo: %v\n", err)
		return 1
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	d := &demo{flags: f, environ: environ, fail: fail}
	if f.verbose {
		d.log = &lockedWriter{w: stderr}
	}
	defer d.stop()
	if err = d.start(running); err == nil {
		d.explain(stdout)
		<-running.Done()
		err = context.Cause(running)
	}
	if ctx.Err() == nil {
		fmt.Fprintf(stderr, "topicgate-demo: %v\n", err)
		return 1
	}
	fmt.Fprintln(stdout, "\ntopicgate-demo: taking everything down")
	return 0
}

func parseFlags(args []string, stderr io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("topicgate-demo", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.programs.topicgate, "topicgate", "", "`path` of the gateway (default: beside topicgate-demo, then in PATH)")
	set.StringVar(&f.programs.mosquitto, "mosquitto", "", "`path` of mosquitto (default: in PATH)")
	set.StringVar(&f.programs.redis, "redis-server", "", "`path` of redis-server (default: in PATH)")
	set.StringVar(&f.mqttJS, "mqttjs", "", "`path` of MQTT.js' mqtt.min.js (default: where `npm ci` in cmd/topicgate-demo/web puts it)")
	set.StringVar(&f.page, "port", anyPort, "`port` of the page; 0 is any free one, here and below")
	set.StringVar(&f.oidc, "oidc-port", anyPort, "`port` of the OpenID Provider")
	set.StringVar(&f.gateway, "gateway-port", anyPort, "`port` of the gateway")
	set.StringVar(&f.broker, "mosquitto-port", anyPort, "`port` of mosquitto")
	set.StringVar(&f.redis, "redis-port", anyPort, "`port` of redis-server")
	set.DurationVar(&f.tokenLifetime, "token-lifetime", 5*time.Minute, "how long a token lasts; the page renews it in time")
	set.BoolVar(&f.verbose, "verbose", false, "show what the children log")
	err := set.Parse(args)
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if err == nil && f.tokenLifetime < 10*time.Second {
		err = errors.New("-token-lifetime must be 10s or more")
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stderr, "topicgate-demo: %v\n", err)
	}
	return f, err
}

// complete finds the programs and files that no flag named.
func (f *flags) complete() error {
	found, err := findPrograms(f.programs)
	f.programs = found
	if f.mqttJS == "" {
		library := filepath.Join("cmd", "topicgate-demo", "web", "node_modules", "mqtt", "dist", "mqtt.min.js")
		for _, root := range []string{".", executableFolder(), filepath.Join(executableFolder(), "..")} {
			if path := filepath.Join(root, library); f.mqttJS == "" && isFile(path) {
				f.mqttJS = path
			}
		}
	}
	if !isFile(f.mqttJS) {
		err = errors.Join(err, errors.New("MQTT.js is not here: run `npm ci` in cmd/topicgate-demo/web, or give --mqttjs PATH"))
	}
	return err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

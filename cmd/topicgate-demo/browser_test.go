package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// npmFolder holds the browser's driver, mqttFolder the page's library; integration/servers.sh installs both.
const (
	npmFolder  = "../../integration/node"
	mqttFolder = "web"
)

// TestAVisitorSeesRoomsComeAliveAndFallSilent is the demo as its visitors know it: the real page in a real
// browser, and everything behind it.
func TestAVisitorSeesRoomsComeAliveAndFallSilent(t *testing.T) {
	browser := installed(t, "chromium", "apt-get install chromium", "chromium", "chromium-browser", "google-chrome")
	node := installed(t, "node", "apt-get install nodejs npm", filepath.Join(npmFolder, "node_modules", ".bin", "node"), "node")
	driver := present(t, filepath.Join(npmFolder, "node_modules", "playwright-core", "package.json"))
	library := present(t, filepath.Join(mqttFolder, "node_modules", "mqtt", "dist", "mqtt.min.js"))
	gateway := buildGateway(t)

	r := startDemo(t, programs{topicgate: gateway}, library, nil)
	argument, err := json.Marshal(map[string]string{"page": r.url(t), "executable": browser, "playwright": driver})
	if err != nil {
		t.Fatal(err)
	}
	visit := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "visit.mjs"), string(argument))
	visit.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NODE_NO_WARNINGS=1"} // a home of its own: Chromium keeps things there
	if out, err := visit.CombinedOutput(); err != nil {
		t.Errorf("the visit: %v\n%s\nthe demo wrote\n%s", err, out, r.stderr)
	}
	r.cancel()
	if status := r.end(t); status != 0 {
		t.Errorf("the demo ended with %d; want 0\n%s", status, r.stderr)
	}
}

// buildGateway builds the gateway and returns its path.
func buildGateway(t *testing.T) string {
	t.Helper()
	// `go test` keeps a test's result until something changes that it imports or looked at; it is to look at the
	// sources of the program under test.
	err := filepath.WalkDir("../..", func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{"node_modules", ".git", "bin", "integration"}, entry.Name()) {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "topicgate")
	args := slices.Concat([]string{"build"}, buildFlags, []string{"-o", path, "topicgate/cmd/topicgate"})
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// installed returns the path of the first of the names that is a program.
func installed(t *testing.T, program, hint string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path
			}
		}
	}
	missing(t, program+" is not here: "+hint)
	return ""
}

// present returns the absolute path of a file that npm installed.
func present(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		missing(t, file+" is not here: integration/servers.sh node page")
	}
	return path
}

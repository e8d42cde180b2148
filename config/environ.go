package config

import (
	"regexp"
	"slices"
	"strings"
)

// variables are the environment's settings, ready for env/v11.
type variables struct {
	values map[string]string // by full name, trimmed, _FILE forms replaced by the file's content
	given  map[string]string // as Config.given
}

// A Kubernetes Service (or a legacy Docker link) named topicgate or topicgate-something puts
// variables of these names into every pod of its namespace. They are nobody's typing mistake.
var (
	serviceLink     = regexp.MustCompile(`^TOPICGATE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	serviceLinkPort = regexp.MustCompile(`^TOPICGATE_([A-Z0-9_]+_)?PORT$`)
	serviceLinkURL  = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || serviceLinkPort.MatchString(name) && serviceLinkURL.MatchString(value)
}

// readEnviron picks the settings out of environ. Of a variable that stands there twice the last
// one counts, as in os/exec.
func readEnviron(environ []string, problems *Problems) variables {
	vars := variables{values: make(map[string]string), given: make(map[string]string)}
	raw := make(map[string]string)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if len(name) >= len(Prefix) && strings.EqualFold(name[:len(Prefix)], Prefix) {
			raw[name] = value
		}
	}
	var names []string
	for f := range fields() {
		name := f.Tag.Get("env")
		names = append(names, Prefix+name)
		value, present := raw[Prefix+name]
		delete(raw, Prefix+name)
		if present {
			if !isSecret(f) { // a password may end in a space
				value = strings.TrimSpace(value)
			}
			vars.values[Prefix+name] = value
			if value != "" {
				vars.given[name] = Prefix + name
			}
		}
		if !isSecret(f) {
			continue
		}
		file := Prefix + name + "_FILE"
		names = append(names, file)
		path := strings.TrimSpace(raw[file])
		delete(raw, file)
		switch {
		case path == "":
		case value != "":
			problems.add(name, "is set twice, also by %s; use one of them", file)
		default:
			text, err := readFile(path)
			if err != nil {
				problems.add(name+"_FILE", "%v", err)
			}
			vars.values[Prefix+name] = text
			vars.given[name] = file
		}
	}
	for name, value := range raw {
		if isServiceLink(name, value) {
			continue
		}
		message := "unknown setting"
		if near := nearest(name, names); near != "" {
			message += "; did you mean " + near + "?"
		}
		*problems = append(*problems, Problem{Variable: name, Message: message})
	}
	slices.SortFunc(*problems, func(a, b Problem) int { return strings.Compare(a.Variable, b.Variable) })
	return vars
}

// nearest returns the known name that the unknown one was most likely meant to be, or "": one
// that is a few typing mistakes away, else one that begins or ends like it.
func nearest(unknown string, known []string) string {
	name := strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(unknown, "-", "_")), Prefix)
	best, bestDistance := "", 3
	if len(name) < 5 {
		bestDistance = 2
	}
	for _, k := range known {
		if d := distance(name, strings.TrimPrefix(k, Prefix)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" || len(name) < 3 {
		return best
	}
	for _, k := range known {
		short := strings.TrimPrefix(k, Prefix)
		if strings.HasPrefix(short, name) || strings.HasPrefix(name, short) || strings.HasSuffix(short, "_"+name) {
			return k
		}
	}
	return ""
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

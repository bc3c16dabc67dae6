package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/consul"
	"github.com/baton-db/baton/internal/endpoint/template"
	"github.com/baton-db/baton/internal/endpoint/webhook"
	"github.com/baton-db/baton/internal/endpoint/zookeeper"
	"github.com/baton-db/baton/internal/httpcall"
	"github.com/baton-db/baton/internal/render"
)

// Endpoints that are told who is primary: config stores, webhooks, files.

func openConsul(o opening) (endpoint.Endpoint, error) {
	tls, err := clientTLS(o.Consul.TLS)
	if err != nil {
		return nil, err
	}
	return consul.Open(o.Name, consul.Options{URLs: o.Consul.URLs, Key: o.Consul.Key, Token: o.secret.Reveal(), Datacenter: o.Consul.Datacenter,
		Client: httpcall.Client{TLS: tls}, Cluster: o.config.Cluster}), nil
}

func openZooKeeper(o opening) (endpoint.Endpoint, error) {
	z := zookeeper.Options{Servers: o.ZooKeeper.Servers, Node: o.ZooKeeper.Node, User: o.ZooKeeper.User, Password: o.secret.Reveal(), Cluster: o.config.Cluster}
	if o.ZooKeeper.Encrypted {
		tls, err := clientTLS(o.ZooKeeper.TLS)
		if err != nil {
			return nil, err
		}
		z.TLS = tls
	}
	return zookeeper.Open(o.Name, z), nil
}

func openWebhook(o opening) (endpoint.Endpoint, error) {
	w := o.Webhook
	tls, err := clientTLS(w.TLS)
	if err != nil {
		return nil, err
	}
	all := []webhook.Request{{Method: w.Method, URL: w.URL, Body: w.Body, Expect: w.Expect}}
	for _, r := range w.Then {
		all = append(all, webhook.Request(r))
	}
	return webhook.Open(o.Name, webhook.Options{Requests: all, Headers: w.Headers, Observe: webhook.Look(w.Observe), Secret: o.secret.Reveal(), Sign: w.Sign,
		Cluster: o.config.Cluster, Servers: serversOf(o.config), Client: httpcall.Client{TLS: tls}, Now: o.wall})
}

func openTemplate(o opening) (endpoint.Endpoint, error) {
	t := o.Template
	text, err := os.ReadFile(t.Source)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	uid, gid, err := t.Owners()
	if err != nil {
		return nil, err
	}
	return template.Open(o.Name, template.Options{File: t.File, Text: string(text), Mode: t.Permissions(), UID: uid, GID: gid, Check: t.Check, Reload: t.Reload,
		Limit: o.Timeout, Note: filepath.Join(o.config.StateDir(), "endpoints", o.Name+".json"), Cluster: o.config.Cluster, Servers: serversOf(o.config)})
}

// serversOf are the servers of all data nodes, for templates.
func serversOf(c *config.Config) []render.Server {
	var all []render.Server
	for _, n := range c.Nodes {
		if n.Role == cluster.Data {
			all = append(all, render.Server{Node: n.Name, Address: n.Address, Port: c.ServerOf(n.Name).Port})
		}
	}
	return all
}

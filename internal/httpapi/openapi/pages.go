package openapi

import "github.com/penstock/penstock"

// MetricsPage is the total of all queues, and a page of them.
type MetricsPage struct {
	penstock.AllMetrics
	Next string `json:"next,omitempty"`
}

// HealthPage is the status of all queues and the database, and a page of queues.
type HealthPage struct {
	penstock.HealthOverview
	Next string `json:"next,omitempty"`
}

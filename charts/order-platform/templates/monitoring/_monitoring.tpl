{{- /* Whether objects of Prometheus Operator are made. Helm knows the kinds of a cluster; `helm template` does not. */ -}}
{{- define "order-platform.monitors" -}}
{{- $mode := .Values.monitoring.renderMode -}}
{{- $served := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if and (eq $mode "failIfMissing") (not $served) -}}
{{- fail "monitoring.renderMode is failIfMissing, and this cluster has no monitoring.coreos.com/v1: install Prometheus Operator, or set monitoring.renderMode to skipIfMissing" -}}
{{- end -}}
{{- if or (eq $mode "alwaysRender") $served }}true{{ end -}}
{{- end }}

{{- define "order-platform.monitoringLabels" -}}
{{ include "order-platform.labels" . }}
app.kubernetes.io/component: monitoring
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

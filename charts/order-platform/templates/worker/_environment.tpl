{{- /* What workers and the Jobs beside them are told by variables, and the files of their secrets. */ -}}
{{- define "order-platform.ledgerEnv" -}}
{{- if .Values.ledger.existingSecret.name }}
- name: ORDER_LEDGER_URL_FILE
  value: /etc/order-platform/ledger/url
- name: ORDER_LEDGER_URL # an image that does not know the file refuses this; see settings.py of the worker
  value: see ORDER_LEDGER_URL_FILE
{{- else }}
- name: ORDER_LEDGER_URL
  value: {{ .Values.ledger.url | quote }}
{{- end }}
{{- end -}}
{{- define "order-platform.ledgerVolumes" -}}
{{- with .Values.ledger.existingSecret }}
{{- if .name }}
- name: ledger
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: url}
{{- end }}
{{- end }}
{{- end -}}
{{- /* The keys of the audit trail, for whatever writes it or checks it. */ -}}
{{- define "order-platform.auditEnv" -}}
{{- if .Values.ledger.audit.existingSecret.name }}
- name: ORDER_LEDGER_AUDIT_KEY_FILE
  value: /etc/order-platform/audit/keys
{{- end }}
{{- end -}}
{{- define "order-platform.auditVolumes" -}}
{{- with .Values.ledger.audit.existingSecret }}
{{- if .name }}
- name: audit
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: keys}
{{- end }}
{{- end }}
{{- end -}}
{{- define "order-platform.paymentEnv" -}}
{{- $payment := .Values.worker.payment }}
- name: ORDER_WORKER_PAYMENT_PROVIDER
  value: {{ $payment.provider }}
{{- if eq $payment.provider "stripe" }}
{{- if not $payment.stripe.existingSecret.name }}{{ fail "worker.payment.stripe.existingSecret.name: the provider stripe needs a Secret with its API key" }}{{ end }}
- name: STRIPE_API_KEY_FILE
  value: /etc/order-platform/stripe/api-key
{{- end }}
{{- end -}}
{{- define "order-platform.paymentVolumes" -}}
{{- if eq .Values.worker.payment.provider "stripe" }}
- name: stripe
  secret:
    secretName: {{ .Values.worker.payment.stripe.existingSecret.name }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.worker.payment.stripe.existingSecret.key | quote }}, path: api-key}
{{- end }}
{{- end -}}
{{- /* The companies that a worker of orders deals with; the other workers need none of it. */ -}}
{{- define "order-platform.providersEnv" -}}
{{- $mail := .Values.worker.mail }}
{{ include "order-platform.paymentEnv" . }}
- name: ORDER_WORKER_MAIL_PROVIDER
  value: {{ $mail.provider }}
{{- if eq $mail.provider "smtp" }}
{{- with $mail.smtp }}
{{- if not .host }}{{ fail "worker.mail.smtp.host: the provider smtp needs a server" }}{{ end }}
{{- if not .from }}{{ fail "worker.mail.smtp.from: the provider smtp needs the address of the sender" }}{{ end }}
{{- if ne (empty .username) (empty .existingSecret.name) }}{{ fail "worker.mail.smtp: username and existingSecret.name belong together" }}{{ end }}
{{- if and .username (eq .security "none") }}{{ fail "worker.mail.smtp.security: none would send the password in the clear" }}{{ end }}
- name: SMTP_HOST
  value: {{ .host | quote }}
- name: SMTP_SECURITY
  value: {{ .security }}
- name: SMTP_FROM
  value: {{ .from | quote }}
{{- with .port }}
- name: SMTP_PORT
  value: {{ . | quote }}
{{- end }}
{{- if .username }}
- name: SMTP_USERNAME
  value: {{ .username | quote }}
- name: SMTP_PASSWORD_FILE
  value: /etc/order-platform/smtp/password
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
{{- /* Volumes of their secrets: whole directories, for the kubelet does not replace a file mounted by subPath. */ -}}
{{- define "order-platform.providersVolumes" -}}
{{ include "order-platform.paymentVolumes" . }}
{{- if and (eq .Values.worker.mail.provider "smtp") .Values.worker.mail.smtp.username }}
- name: smtp
  secret:
    secretName: {{ .Values.worker.mail.smtp.existingSecret.name }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.worker.mail.smtp.existingSecret.key | quote }}, path: password}
{{- end }}
{{- end -}}
{{- define "order-platform.workerEnv" -}}
- name: ORDER_WORKER_TASK_QUEUE
  value: {{ .worker.taskQueue | quote }}
- name: ORDER_WORKER_ROLES
  value: {{ join "," .worker.roles | quote }}
{{ include "order-platform.ledgerEnv" .root }}
{{- include "order-platform.auditEnv" .root }}
{{- include "order-platform.encryptionEnv" .root }}
{{- /* With a ledger outside of the pods the simulated providers keep their books in its database. */}}
{{- if include "order-platform.embeddedLedger" .root }}
- name: ORDER_WORKER_PROVIDER_STORE
  value: /var/lib/order-platform/providers.db
{{- end }}
- name: ORDER_WORKER_METRICS_ADDRESS
  value: "0.0.0.0:{{ .root.Values.worker.metrics.port }}"
- name: ORDER_WORKER_PROBES_ADDRESS
  value: "0.0.0.0:{{ .root.Values.worker.probes.port }}"
- name: ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS
  value: {{ .root.Values.worker.gracefulShutdownSeconds | quote }}
- name: ORDER_WORKER_SIMULATION
  value: {{ .root.Values.worker.simulation.allowed | quote }}
{{- with .worker.maxConcurrentActivities }}
- name: ORDER_WORKER_MAX_CONCURRENT_ACTIVITIES
  value: {{ . | quote }}
{{- end }}
{{- with .worker.maxConcurrentWorkflowTasks }}
- name: ORDER_WORKER_MAX_CONCURRENT_WORKFLOW_TASKS
  value: {{ . | quote }}
{{- end }}
{{- if has "orders" .worker.roles }}
{{ include "order-platform.providersEnv" .root }}
{{- end }}
{{- $temporal := include "order-platform.temporalEnv" (dict "root" .root "namespace" .worker.temporalNamespace) | fromYamlArray }}
{{- range $temporal }}
{{- /* The worker controller adds the first two itself. */}}
{{- if not (and (eq $.worker.rollout.mode "workerController") (has .name (list "TEMPORAL_ADDRESS" "TEMPORAL_NAMESPACE"))) }}
{{ toYaml (list .) }}
{{- end }}
{{- end }}
{{- with .worker.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Version of what the policies refuse, as order_operator.cluster.policies spells it: an operator trusts only rules that
      it knows. */ -}}
{{- define "order-platform-crds.rulesVersion" -}}2{{- end }}

{{- /* The binding of a policy. Takes a dict: root, name, and `params` where all OrderClasses are its parameters. */ -}}
{{- define "order-platform-crds.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      {{- toYaml .root.Values.policies.namespaceSelector | nindent 6 }}
  {{- if .params }}
  paramRef:
    # Without any class there is nothing to judge: the order waits for its class.
    parameterNotFoundAction: Allow
    selector: {}
  {{- end }}
{{- end }}

{{- /* The end of a refusal, as CEL: which verb is missing and whom to ask. Takes a dict: root, verb (CEL), resource. */ -}}
{{- define "order-platform-crds.needs" -}}
': this needs the verb ' + {{ .verb }} + ' on {{ .resource | default "orders" }}.order-platform.dev; ask ' + {{ .root.Values.policies.contact | toJson }}
{{- end }}

{{- /* What an update changed of an order, as CEL variables. What is not named in `beside` is what was ordered. */ -}}
{{- define "order-platform-crds.changes" -}}
- name: creating
  expression: request.operation == 'CREATE'
- name: beside
  expression: >-
    ['approval', 'cancellation', 'retry', 'suspend', 'requestedBy', 'editedBy', 'adoptFrom', 'deletionPolicy',
    'ttlSecondsAfterFinished']
- name: edited
  expression: >-
    !variables.creating && (
    object.spec.exists(field, !(field in variables.beside) &&
    (!(field in oldObject.spec) || object.spec[field] != oldObject.spec[field])) ||
    oldObject.spec.exists(field, !(field in variables.beside) && !(field in object.spec)))
- name: decided
  expression: >-
    object.spec.?approval != (variables.creating ? optional.none() : oldObject.spec.?approval)
{{- end }}

{{- /* Whether the label says that a backup brought the object back, as CEL. Takes the name of the object. */ -}}
{{- define "order-platform-crds.isRestored" -}}
['velero.io/restore-name', 'order-platform.dev/restored'].exists(label, label in {{ . }}.metadata.?labels.orValue({}))
{{- end }}

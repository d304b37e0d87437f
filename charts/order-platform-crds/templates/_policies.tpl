{{- /* Version of what the policies refuse, as order_operator.cluster.policies spells it: an operator trusts only rules that
      it knows. */ -}}
{{- define "order-platform-crds.rulesVersion" -}}1{{- end }}

{{- /* The binding of a policy. Takes a dict: root, name, and `param`, a label selector of OrderClasses, where the policy is about them. */ -}}
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
  {{- if hasKey . "param" }}
  paramRef:
    # Judged once for each of these classes. Without any there is nothing to judge: such an order waits for its class.
    parameterNotFoundAction: Allow
    selector:
      {{- toYaml .param | nindent 6 }}
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

{{- /* The default of the cluster, as a CEL variable; the annotation is that of releases before 0.2. */ -}}
{{- define "order-platform-crds.isDefaultClass" -}}
- name: isDefaultClass
  expression: >-
    params.metadata.?labels[?'order-platform.dev/default-class'].orValue('') == 'true' ||
    params.metadata.?annotations[?'order-platform.dev/is-default-class'].orValue('') == 'true'
{{- end }}

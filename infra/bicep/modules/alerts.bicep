// Somebody is told when nothing reconciles any more, when reconciliations fail, and when an event was given up.
param name string
param location string
param tags object = {}
param insightsId string

@description('Where alerts go; empty makes rules that tell nobody but the portal.')
param email string = ''

@description('Minutes without a heartbeat after which the app counts as down: while it is, nothing reconciles.')
@minValue(5)
param silence int = 10

var rules = [
  {
    name: 'heartbeat'
    description: 'The timer of Fluxless has not run: nothing reconciles.'
    severity: 1
    minutes: silence
    query: 'traces | where message startswith "heartbeat " | summarize beats = count() | where beats == 0'
  }
  {
    name: 'alarms'
    description: 'Fluxless raises an alarm itself: a cluster is away, an orchestration stood still, or nobody was woken.'
    severity: 2
    minutes: 15
    query: 'traces | where message has "alert="'
  }
  {
    name: 'failures'
    description: 'Activities of Fluxless fail: a cluster or the storage cannot be used.'
    severity: 2
    minutes: 15
    query: 'traces | where message has "activity=" and message has "failed"'
  }
  {
    name: 'objects'
    description: 'A Flux object fails again and again: fluxless get all --status-selector ready=false names it.'
    severity: 3
    minutes: 15
    query: 'traces | where message has "result=" | parse-kv message as (cluster: string, kind: string, namespace: string, name: string, result: string) with (pair_delimiter = " ", kv_delimiter = "=", quote = "\\"") | where result in ("retry", "stalled") | summarize failures = count() by cluster, kind, namespace, name | where failures >= 3'
  }
  {
    name: 'given-up'
    description: 'An event of a registry was given up after five attempts: it is in the poison queue.'
    severity: 2
    minutes: 15
    query: 'traces | where message has "MaxDequeueCount"'
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: '${name}-alerts'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'fluxless'
    emailReceivers: [
      {
        name: 'team'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-03-15-preview' = [for item in rules: {
  name: '${name}-${item.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: ${item.name}'
    description: item.description
    severity: item.severity
    enabled: true
    autoMitigate: true
    scopes: [
      insightsId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT${item.minutes}M'
    criteria: {
      allOf: [
        {
          query: item.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: empty(email) ? [] : [
        group.id
      ]
    }
  }
}]

output names array = [for item in rules: '${name}-${item.name}']

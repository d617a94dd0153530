// Traces and logs: Application Insights over a workspace, written to with the identity alone.
param name string
param location string
param tags object = {}
param principalId string

@description('Monitoring Metrics Publisher.')
param publisherRole string

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param keepDays int = 30

@description('GB a day after which nothing more is taken in, so that a defect cannot become a bill.')
@minValue(1)
param dailyCapGb int = 1

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  tags: tags
  properties: {
    retentionInDays: keepDays
    sku: {
      name: 'PerGB2018'
    }
    features: {
      disableLocalAuth: true
    }
    workspaceCapping: {
      dailyQuotaGb: dailyCapGb
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: '${name}-insights'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    WorkspaceResourceId: workspace.id
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, publisherRole)
  scope: insights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', publisherRole)
  }
}

output id string = insights.id
output workspaceId string = workspace.id
output connectionString string = insights.properties.ConnectionString

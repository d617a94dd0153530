// The app pulls artifacts, images' tags and charts from one registry. Deployed into the resource group of the registry.
param registryName string
param principalId string

@description('AcrPull; for registries with ABAC the repository reader, which is honoured there instead.')
param role string

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, principalId, role)
  scope: registry
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}

output id string = registry.id
output loginServer string = registry.properties.loginServer

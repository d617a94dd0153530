// What the app may do in one AKS cluster: fetch its address, and everything in it, as Flux's controllers may.
// Deployed into the resource group of the cluster.
param clusterName string
param principalId string

@description('Roles on the cluster by name: to reach it, and within it. Empty where Kubernetes RBAC is bound by hand.')
param roles object

resource cluster 'Microsoft.ContainerService/managedClusters@2024-09-01' existing = {
  name: clusterName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in items(roles): {
  name: guid(cluster.id, principalId, role.value)
  scope: cluster
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.value)
  }
}]

output id string = cluster.id
